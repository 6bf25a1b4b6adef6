package sync

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// Plain returns the options of a new domain without keys for options.
func (l Layout) Plain() haproxy.BackendOptions {
	return l.desiredOptions(registry.Domain{}, haproxy.Backend{})
}

// desiredOptions returns the options of a domain's backend, without Lines.
func (l Layout) desiredOptions(d registry.Domain, file haproxy.Backend) haproxy.BackendOptions {
	options := haproxy.BackendOptions{
		Balance: cmp.Or(d.Options.Balance, "roundrobin"),
		Cookie:  l.cookieOf(d, file),
		Names:   d.Options.Aliases,
	}
	check := registry.CheckOf(d.Options.Check)
	if check.Path != "" {
		options.Check = check.Path
		if check.Host != d.Name {
			options.CheckHost = check.Host
		}
	}
	held := d.Held && file.Name != ""
	if held || check.Path != "" && slices.Contains(file.Own, haproxy.OwnHTTPCheck) {
		options.Check, options.CheckHost = file.Options.Check, file.Options.CheckHost
	}
	if held {
		options.Balance, options.Names = file.Options.Balance, file.Options.Names
	}
	return options
}

// cookieOf returns the argument of a domain's cookie line; empty for no cookie. If the domain has no key, it keeps further words
// that an operator wrote behind the default.
func (l Layout) cookieOf(d registry.Domain, file haproxy.Backend) string {
	site := cookieLine(l.Cookie)
	switch {
	case d.Held && file.Name != "" && (file.Options.Cookie != "" || cookieless(file)):
		return file.Options.Cookie
	case d.Options.Cookie != "":
		return cookieLine(d.Options.Cookie)
	case site != "" && strings.HasPrefix(file.Options.Cookie, site+" "):
		return file.Options.Cookie // with an operator's own "domain" or the like
	}
	return site
}

// cookieless reports whether a backend has servers, but none with a cookie.
func cookieless(b haproxy.Backend) bool {
	return len(b.Servers) > 0 && !slices.ContainsFunc(b.Servers, func(s haproxy.Server) bool { return s.Cookie != "" })
}

// cookieLine translates a valid value of the key cookie to HAProxy's words. An empty value means the default cookie.
func cookieLine(value string) string {
	if value == registry.CookieOff {
		return ""
	}
	words := strings.Fields(cmp.Or(value, haproxy.StickyName))
	line := words[0] + haproxy.StickyWords
	for _, word := range words[1:] {
		option, argument, _ := strings.Cut(word, "=")
		switch option {
		case "samesite":
			line += " attr SameSite=" + map[string]string{"lax": "Lax", "strict": "Strict", "none": "None"}[argument]
		case "maxidle", "maxlife":
			line += fmt.Sprintf(" %s %d", option, int(registry.CookieTime(argument).Seconds()))
		default:
			line += " " + option
		}
	}
	return line
}

// maintenanceLine answers all requests for a domain with 503, or with the operator's error page for it.
const maintenanceLine = "http-request deny deny_status 503"

// linesOf returns the further lines of a domain's backend (BackendOptions.Lines). If the operator's own lines already say the same
// kind of thing, they win, and the key gets a problem.
func linesOf(d registry.Domain, prefix string, file haproxy.Backend) (lines string, problems []registry.Problem) {
	if d.Held && file.Name != "" {
		return file.Options.Lines, nil
	}
	overruled := func(key, words string) bool {
		if !slices.Contains(file.Own, words) {
			return false
		}
		problems = append(problems, registry.NewProblem(prefix+"/"+d.Name+"/"+key,
			fmt.Errorf("your own words in backend %s count instead (%s): delete those, or the key", file.Name, words)))
		return true
	}
	var all []string
	if timeout := d.Options.TimeoutServer; timeout != "" && !overruled("timeout-server", haproxy.OwnTimeout) {
		all = append(all, "timeout server "+timeout)
	}
	check := registry.CheckOf(d.Options.Check)
	var words []string
	if tls := tlsWords(d, file.Own); tls != "" && !overruled("tls", haproxy.OwnTLS) {
		words = append(words, tls)
	}
	if timing := timingWords(check); timing != "" && !overruled("check", haproxy.OwnTiming) {
		words = append(words, timing)
	}
	if len(words) > 0 {
		all = append(all, "default-server "+strings.Join(words, " "))
	}
	if check.Path != "" && !overruled("check", haproxy.OwnHTTPCheck) && check.Status != "" {
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

// tlsWords returns the default-server words that make HAProxy speak TLS to the servers of a domain. HAProxy trusts the authorities
// of the operator's ca-file, or else the system's. Without verifyhost it would accept any name if it sends none.
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

// timingWords returns the default-server words that say how often servers are checked, and how many results change their state.
func timingWords(check registry.Check) string {
	var words []string
	for _, w := range [][2]string{{"inter", check.Inter}, {"rise", check.Rise}, {"fall", check.Fall}} {
		if w[1] != "" {
			words = append(words, w[0], w[1])
		}
	}
	return strings.Join(words, " ")
}

// changedOption returns the key, with a slash before it, of the first option that differs; empty if none does.
func changedOption(have, want haproxy.BackendOptions) string {
	switch {
	case want.Balance != have.Balance:
		return "/balance"
	case want.Cookie != have.Cookie:
		return "/cookie"
	case want.Names != have.Names:
		return "/aliases"
	case want.Check != have.Check, want.CheckHost != have.CheckHost:
		return "/check"
	case want.Lines != have.Lines:
		return "/" + changedLine(have.Lines, want.Lines)
	}
	return ""
}

// changedLine returns the key that made the first line that only one of two backends has. Both values are results of linesOf.
func changedLine(have, want string) string {
	a, b := strings.Split(want, "\n"), strings.Split(have, "\n")
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

// withoutTakenAliases removes, in place, aliases that the registry gives to another domain. Only a domain whose names still come
// from the file, because its keys are bad, can have such aliases.
func withoutTakenAliases(asked haproxy.Config, snapshot registry.Snapshot) haproxy.Config {
	var owners map[string]string
	for i, b := range asked.Backends {
		domain, _ := haproxy.DomainOf(b.Name)
		if d, _ := domainOf(snapshot, domain); b.Options.Names == "" || b.Options.Names == d.Options.Aliases {
			continue
		}
		if owners == nil {
			owners = aliasOwners(snapshot)
		}
		names := slices.DeleteFunc(strings.Fields(b.Options.Names), func(name string) bool {
			_, isDomain := domainOf(snapshot, name)
			owner := owners[name]
			return isDomain || owner != "" && owner != domain
		})
		slices.Sort(names)
		asked.Backends[i].Options.Names = strings.Join(slices.Compact(names), " ")
	}
	return asked
}

// aliasOwners maps each alias to its domain.
func aliasOwners(snapshot registry.Snapshot) map[string]string {
	owners := map[string]string{}
	for _, d := range snapshot.Domains {
		for _, name := range d.Options.Names() {
			owners[name] = d.Name
		}
	}
	return owners
}
