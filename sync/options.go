package sync

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// maintenanceLine answers all requests for a domain with 503, or the operator's error page for it.
const maintenanceLine = "http-request deny deny_status 503"

// linesOf are the further lines of the backend of a domain. An operator's own words of the same kind win, and are named.
func linesOf(d registry.Domain, prefix string, file haproxy.Backend) (lines string, problems []registry.Problem) {
	if d.Held && file.Name != "" {
		return file.Options.Lines, nil
	}
	own := func(key, words string) bool {
		if !slices.Contains(file.Own, words) {
			return false
		}
		problems = append(problems, registry.NewProblem(prefix+"/"+d.Name+"/"+key,
			fmt.Errorf("your own words in backend %s count instead (%s): delete those, or the key", file.Name, words)))
		return true
	}
	var all []string
	if timeout := d.Options.TimeoutServer; timeout != "" && !own("timeout-server", haproxy.OwnTimeout) {
		all = append(all, "timeout server "+timeout)
	}
	check := registry.CheckOf(d.Options.Check)
	var words []string
	if tls := tlsWords(d, file.Own); tls != "" && !own("tls", haproxy.OwnTLS) {
		words = append(words, tls)
	}
	if timing := timingWords(check); timing != "" && !own("check", haproxy.OwnTiming) {
		words = append(words, timing)
	}
	if len(words) > 0 {
		all = append(all, "default-server "+strings.Join(words, " "))
	}
	if check.Path != "" && !own("check", haproxy.OwnHTTPCheck) && check.Status != "" {
		all = append(all, "http-check expect status "+check.Status)
	}
	if d.Options.Maintenance {
		all = append(all, maintenanceLine)
	}
	if d.Options.RedirectHTTPS {
		all = append(all, "http-request redirect scheme https code 301 unless { ssl_fc }")
	}
	return strings.Join(all, "\n"), problems
}

// keyOfLines is the key that makes the first line of linesOf which only one of two backends has.
func keyOfLines(is, was string) string {
	a, b := strings.Split(is, "\n"), strings.Split(was, "\n")
	line := ""
	for _, l := range slices.Concat(a, b) {
		if l != "" && slices.Contains(a, l) != slices.Contains(b, l) {
			line = l
			break
		}
	}
	switch {
	case strings.HasPrefix(line, "timeout server "):
		return "timeout-server"
	case strings.HasPrefix(line, "http-request deny "):
		return "maintenance"
	case strings.HasPrefix(line, "http-request redirect "):
		return "redirect-https"
	case strings.HasPrefix(line, "default-server ") && strings.Contains(line, "ssl"):
		return "tls"
	}
	return "check"
}

// tlsWords are those of a default-server line that has HAProxy speak TLS to the servers of a domain. Which authorities it trusts
// is an operator's ca-file, or else the system's. Without verifyhost HAProxy would take any name of theirs when it sends none.
func tlsWords(d registry.Domain, own []string) string {
	name := " sni str(" + d.Name + ") check-sni " + d.Name
	switch {
	case d.Options.TLS == "verify" && slices.Contains(own, haproxy.GivenCA):
		return "ssl verify required" + name + " verifyhost " + d.Name
	case d.Options.TLS == "verify":
		return "ssl verify required ca-file @system-ca" + name + " verifyhost " + d.Name
	case d.Options.TLS == "noverify":
		return "ssl verify none" + name
	case d.Options.TLS == "off" && slices.Contains(own, haproxy.GivenSSL):
		return "no-ssl"
	}
	return ""
}

// timingWords are those of a default-server line that say when a domain's servers are checked, and what comes of it.
func timingWords(check registry.Check) string {
	var words []string
	for _, w := range [][2]string{{"inter", check.Inter}, {"rise", check.Rise}, {"fall", check.Fall}} {
		if w[1] != "" {
			words = append(words, w[0], w[1])
		}
	}
	return strings.Join(words, " ")
}
