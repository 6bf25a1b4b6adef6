// Package registrytest is shared by the tests of registry and of the packages below it.
package registrytest

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/hapsync/hapsync/registry"
)

// KeyValues draws keys that are almost good: few names, so that they meet in domains and hosts, and sometimes a wrong byte.
func KeyValues() *rapid.Generator[[]registry.KeyValue] {
	prefix := rapid.SampledFrom([]string{"/p/", "/p/", "/p/", "/p/", "/p/", "/p/", "/p/", "/p", "/p2/", "/", ""})
	domain := rapid.SampledFrom([]string{"a.com", "A.com", "a.COM", "a.com-x", "a.com.au", "b", "-b", "*.a.com", "", "a b"})
	host := rapid.SampledFrom([]string{"s", "s", "s-1", "S", "s.1", "balance", "", "s s"})
	attr := rapid.SampledFrom([]string{
		"ip", "ip", "port", "port", "weight", "maxconn", "backup", "state", "balance", "check", "cookie", "timeout-server",
		"tls", "redirect-https", "maintenance", "aliases", "aliases", "x", "", "ip/x",
	})
	value := rapid.SampledFrom([]string{
		"10.0.0.1", "fd00::1", "::ffff:10.0.0.1", "80", "80", "1", "0", "true", "drain", "first", "/ok?x=%20", "tcp", "verify",
		"/ok host=b:80 status=200-299,401", "tcp fall=1 inter=2s", "/ok host=b:80 inter=0s", "tcp host=b",
		"*.a.com B x.com", "x.com *.a.com", "a.com.au", "*.com.", "10.0.0.1:80", "10.0.0.1:81", "[fd00::1]:80", "off", "30s", "25h",
		"SID secure samesite=none", "SID maxlife=8h httponly", "SID x", "10.0.0.1:0", "a.com:80",
		"", "x", "80\n", "010.0.0.1", "::1%eth0", "10.0.0.1:80 check\n  http-request deny", "/a b", "\xff",
	})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) registry.KeyValue {
		parts := []string{domain.Draw(t, "domain"), host.Draw(t, "host"), attr.Draw(t, "attr")}
		depth := rapid.SampledFrom([]int{3, 3, 3, 3, 3, 3, 2, 1, 0}).Draw(t, "depth")
		if depth == 2 && rapid.Bool().Draw(t, "option") {
			parts[1] = parts[2]
		}
		kv := registry.KeyValue{Key: prefix.Draw(t, "prefix") + strings.Join(parts[:depth], "/"), Value: value.Draw(t, "value")}
		if rapid.IntRange(0, 15).Draw(t, "spoil") == 0 && kv.Key != "" {
			at := rapid.IntRange(0, len(kv.Key)-1).Draw(t, "at")
			kv.Key = kv.Key[:at] + string([]byte{rapid.Byte().Draw(t, "byte")}) + kv.Key[at:]
		}
		return kv
	}), 0, 24)
}

// Describe writes all fields of domains and problems as text.
func Describe(domains []*registry.Domain, problems []registry.Problem, ignored ...registry.Ignored) string {
	var b strings.Builder
	for _, d := range domains {
		o := d.Options
		b.WriteString(d.Name + given(" balance=", o.Balance) + given(" check=", o.Check) + given(" cookie=", o.Cookie) +
			given(" timeout-server=", o.TimeoutServer) + given(" tls=", o.TLS) + given(" aliases=", o.Aliases) +
			map[bool]string{true: " redirect-https"}[o.RedirectHTTPS] + map[bool]string{true: " maintenance"}[o.Maintenance] +
			map[bool]string{true: " held"}[d.Held] + "\n")
		for _, h := range d.Hosts {
			fmt.Fprintf(&b, "  %s %s weight=%d maxconn=%d backup=%t %s%s%s\n", h.Name, h.Addr, h.Weight, h.MaxConn, h.Backup, h.State,
				map[bool]string{true: " in one key"}[h.OneKey], defaultsSet(h))
		}
		for _, p := range d.Pending {
			fmt.Fprintf(&b, "  %s pending: no %s\n", p.Host, p.Missing)
		}
		for _, name := range d.HeldHosts {
			fmt.Fprintf(&b, "  %s held\n", name)
		}
		for _, p := range d.Unclear {
			fmt.Fprintf(&b, "  %s unclear: %s\n", p.Host, p.Reason)
		}
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "! %s\n    %s\n", p.Key, p.Reason)
		if p.Holds() {
			fmt.Fprintf(&b, "    holds %s%s\n", p.Domain, given("/", p.Host))
		}
	}
	for _, i := range ignored {
		if i.Keys > 0 {
			fmt.Fprintf(&b, "~ %d ignored: %s\n", i.Keys, strings.Join(i.Names, " "))
		}
	}
	return b.String()
}

// defaultsSet names the optional keys of a host that are set to their default.
func defaultsSet(h registry.Host) (words string) {
	if !h.Unset.Weight && h.Weight == 1 {
		words += " weight set"
	}
	if !h.Unset.MaxConn && h.MaxConn == 0 {
		words += " maxconn set"
	}
	if !h.Unset.Backup && !h.Backup {
		words += " backup set"
	}
	return words
}

func given(name, value string) string {
	if value == "" {
		return ""
	}
	return name + value
}

// Shown writes the hosts of an update sorted by name, then the problems and the expired hosts.
func Shown(u registry.Update) string {
	var words, rest []string
	for _, d := range u.Snapshot.Domains {
		for _, h := range d.Hosts {
			words = append(words, fmt.Sprintf("%s %s", h.Name, h.Addr))
		}
		for _, p := range d.Pending {
			words = append(words, p.Host+" pending")
		}
		for _, name := range d.HeldHosts {
			words = append(words, name+" held")
		}
	}
	slices.Sort(words)
	for _, p := range u.Snapshot.Problems {
		rest = append(rest, "! "+strings.TrimPrefix(p.Key, "/p/A.com/"))
	}
	for _, name := range u.Expired {
		rest = append(rest, "+"+name)
	}
	return strings.Join(slices.Concat(words, rest), " ")
}
