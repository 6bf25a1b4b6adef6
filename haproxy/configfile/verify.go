package configfile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"

	parser "github.com/haproxytech/config-parser/v5"
	"github.com/haproxytech/config-parser/v5/types"
)

// A fault is an error in a new text of the managed file that hapsync itself has made, one line for each part that is wrong.
type fault struct {
	text    string
	domains []string // whose lines are wrong, as far as known, sorted
}

func faultf(domain, format string, args ...any) *fault {
	f := fault{text: fmt.Sprintf(format, args...) + " (" + haproxy.OwnFault + ")"}
	if domain != "" {
		f.domains = []string{domain}
	}
	return &f
}

func (f *fault) Error() string { return f.text }

// refused turns a fault in the text of a rewrite into a refusal, so that only the domain with the fault is left out. After a transaction with
// a fault, the caller tries a rewrite.
func refused(err error) error {
	var f *fault
	if errors.As(err, &f) {
		return &haproxy.InvalidConfigError{Output: f.text, Domains: f.domains, Own: true}
	}
	return err
}

// verify makes sure that a new text of the managed file says what is wanted, and keeps all lines of operators. Every text must pass it before
// it is installed.
func verify(have, next Reading, want haproxy.Config) error {
	if !next.Managed.Config.Equal(want) {
		return otherThan(next.Managed.Config, want)
	}
	before, after := foreignLines(have.doc, have.Managed), foreignLines(next.doc, next.Managed)
	for key, lines := range before {
		name := strings.TrimPrefix(key.section, "backend ")
		domain, _ := haproxy.DomainOf(name)
		if _, kept := haproxy.FindBackend(want.Backends, name); !kept && have.Managed.backends[name].end > 0 {
			if key.keyword == "server" || key.keyword == "server-template" {
				return faultf(domain, "%s has servers that are not hapsync's, which would be lost", key.section)
			}
			continue // the lines of a domain go with it
		}
		if !slices.Equal(lines, after[key]) {
			return faultf(domain, "the %s lines of %s that are not hapsync's would change", key.keyword, key.section)
		}
	}
	if len(next.Text) > editLimit {
		return nil // 0.65 s and 250 MB at 10,000 domains
	}
	return verifyParsed(next, want)
}

// otherThan is the fault of a text that differs from what is wanted, with a line for each domain.
func otherThan(got, want haproxy.Config) *fault {
	all, differ := map[string][2]haproxy.Config{}, []string{}
	for i, c := range []haproxy.Config{got, want} {
		for _, b := range c.Backends {
			domain, _ := haproxy.DomainOf(b.Name)
			part := all[domain]
			part[i].Backends = []haproxy.Backend{b}
			all[domain] = part
		}
		for _, r := range c.Rules {
			part := all[r.Domain]
			part[i].Rules = append(part[i].Rules, r)
			all[r.Domain] = part
		}
	}
	for domain, part := range all {
		if !part[0].Equal(part[1]) {
			differ = append(differ, domain)
		}
	}
	slices.Sort(differ)
	lines := make([]string, len(differ))
	for i, domain := range differ {
		lines[i] = faultf(domain, "the new text would not say what is wanted of backend '%s'", haproxy.BackendName(domain)).text
	}
	return &fault{strings.Join(lines, "\n"), differ}
}

type lineKey struct{ section, keyword string }

// foreignLines are the lines that are not ours, by section and keyword, in their order. It ignores the amount of white space, blank lines and
// comments: Commit is only used if it keeps all their bytes, and Rewrite copies them.
func foreignLines(d Document, m Managed) map[lineKey][]string {
	found := map[lineKey][]string{}
	rules := make(map[haproxy.Rule]bool, len(m.Config.Rules))
	for _, r := range m.Config.Rules {
		rules[haproxy.Rule{Frontend: r.Frontend, Domain: r.Domain}] = true
	}
	for _, s := range d.sections {
		if spare, ok := m.spares[s.name]; ok && spare.head == s.head {
			continue
		}
		own := m.backends[s.name].head == s.head && s.kind == "backend"
		backend, _ := haproxy.FindBackend(m.Config.Backends, s.name)
		name := s.kind + " " + s.name
		for _, l := range d.body(s) {
			keyword := firstWord(l.raw)
			if keyword == "" || keyword[0] == '#' || own && roleOf(l, backend.Options.Check != "") != roleForeign {
				continue
			}
			if domain, _, ours := ownLine(l); ours && rules[haproxy.Rule{Frontend: s.name, Domain: domain}] {
				continue
			}
			if _, ours := readMapRule(l); ours && s.kind == "frontend" {
				continue
			}
			key := lineKey{name, keyword}
			found[key] = append(found[key], strings.Join(strings.Fields(l.raw), " "))
		}
	}
	return found
}

// verifyParsed reads the text with config-parser, which is independent of our own reader, and compares what routes requests: rules, servers
// and their addresses.
func verifyParsed(next Reading, want haproxy.Config) (err error) {
	defer func() {
		if recover() != nil {
			err = nil // it panics on some lines of operators that HAProxy accepts: then there is no second opinion
		}
	}()
	if !parseable(next.Text) {
		return nil
	}
	p, err := parse(next.Text)
	if errors.Is(err, errLibrary) {
		return nil
	}
	if err != nil {
		return faultf("", "config-parser cannot read the new text: %v", err)
	}
	if err := verifyServers(p, next, want.Backends); err != nil {
		return err
	}
	return verifyRules(p, next, want.Rules)
}

func verifyServers(p parser.Parser, next Reading, want []haproxy.Backend) error {
	for _, b := range want {
		servers, _ := get[[]types.Server](p, parser.Backends, next.doc.written(next.Managed.backends[b.Name]), "server")
		addrs := map[string]string{}
		for _, s := range servers {
			if _, other := next.Managed.NotOurs[haproxy.ServerKey{Backend: b.Name, Name: s.Name}]; !other {
				addrs[s.Name] = s.Address
			}
		}
		wanted := map[string]string{}
		for _, s := range b.Servers {
			wanted[s.Name] = s.Addr.String()
		}
		for name, addr := range wanted {
			if got, err := parseAddr(addrs[name]); err == nil && got.String() == addr {
				addrs[name] = addr
			}
		}
		if !maps.Equal(addrs, wanted) {
			domain, _ := haproxy.DomainOf(b.Name)
			return faultf(domain, "config-parser reads other servers in backend %s", b.Name)
		}
	}
	return nil
}

func verifyRules(p parser.Parser, next Reading, want []haproxy.Rule) error {
	rules := map[haproxy.Rule]bool{}
	for frontend := range frontendsOf(want) {
		lines, _ := get[[]types.UseBackend](p, parser.Frontends, next.doc.written(next.Managed.frontends[frontend]), "use_backend")
		for _, u := range lines {
			if domain, ok := haproxy.DomainOf(unquote(u.Name)); ok && unquote(u.CondTest) == haproxy.ACLName(domain) {
				rules[haproxy.Rule{Frontend: frontend, Domain: domain}] = true
			}
		}
	}
	for _, r := range want {
		if !r.ByMap && !rules[haproxy.Rule{Frontend: r.Frontend, Domain: r.Domain}] {
			return faultf(r.Domain, "config-parser reads no rule of %s in frontend %s", r.Domain, r.Frontend)
		}
	}
	return nil
}

func frontendsOf(rules []haproxy.Rule) map[string]bool {
	names := map[string]bool{}
	for _, r := range rules {
		names[r.Frontend] = true
	}
	return names
}

// parseable reports whether config-parser reads a text completely: it stops at a line of 64 KiB, and loses the content of .if blocks.
func parseable(text string) bool {
	for l := range strings.Lines(text) {
		if len(l) >= 60_000 || strings.HasPrefix(firstWord(l), ".") {
			return false
		}
	}
	return true
}
