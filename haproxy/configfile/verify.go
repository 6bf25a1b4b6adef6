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

// verify makes sure that a new text of the managed file says what is wanted and lost no line of an operator's: nothing
// is installed that did not pass it.
func verify(have, next Reading, want haproxy.Config) error {
	if !next.Managed.Config.Equal(want) {
		return errors.New("the new text would not say what is wanted (a fault of hapsync's: please report it)")
	}
	before, after := foreignLines(have.doc, have.Managed), foreignLines(next.doc, next.Managed)
	for key, lines := range before {
		name := strings.TrimPrefix(key.section, "backend ")
		if _, kept := haproxy.FindBackend(want.Backends, name); !kept && have.Managed.backends[name].end > 0 {
			if key.keyword == "server" || key.keyword == "server-template" {
				return fmt.Errorf("%s has servers that are not hapsync's, which would be lost (a fault of hapsync's: please report it)", key.section)
			}
			continue // the lines of a domain go with it
		}
		if !slices.Equal(lines, after[key]) {
			return fmt.Errorf("the %s lines of %s that are not hapsync's would change (a fault of hapsync's: please report it)", key.keyword, key.section)
		}
	}
	if len(next.Text) > editLimit {
		return nil // 0.65 s and 250 MB at 10,000 domains
	}
	return verifyParsed(next.Text, next.Managed, want)
}

type lineKey struct{ section, keyword string }

// foreignLines are the lines that are not ours, by section and keyword, in their order. White space is folded, blank
// lines and comments are left out: Commit runs only where every byte of them stays, and Rewrite copies them.
func foreignLines(d Document, m Managed) map[lineKey][]string {
	found := map[lineKey][]string{}
	rules := map[haproxy.Rule]bool{}
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

// verifyParsed reads the text with config-parser, which knows nothing of our own reading, and compares what routes
// requests: rules, servers and their addresses.
func verifyParsed(text string, m Managed, want haproxy.Config) (err error) {
	defer func() {
		if recover() != nil {
			err = nil // it panics on lines of an operator's that HAProxy has accepted: no second opinion to be had
		}
	}()
	if !parseable(text) {
		return nil
	}
	p, err := parse(text)
	if errors.Is(err, errLibrary) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the new text: %w", err)
	}
	for _, b := range want.Backends {
		servers, _ := get[[]types.Server](p, parser.Backends, b.Name, "server")
		addrs := map[string]string{}
		for _, s := range servers {
			if _, other := m.NotOurs[haproxy.ServerKey{Backend: b.Name, Name: s.Name}]; !other {
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
			return fmt.Errorf("config-parser reads other servers in backend %s (a fault of hapsync's: please report it)", b.Name)
		}
	}
	rules := map[haproxy.Rule]bool{}
	for frontend := range frontendsOf(want.Rules) {
		lines, _ := get[[]types.UseBackend](p, parser.Frontends, frontend, "use_backend")
		for _, u := range lines {
			if domain, ok := haproxy.DomainOf(unquote(u.Name)); ok && unquote(u.CondTest) == haproxy.ACLName(domain) {
				rules[haproxy.Rule{Frontend: frontend, Domain: domain}] = true
			}
		}
	}
	for _, r := range want.Rules {
		if !r.ByMap && !rules[haproxy.Rule{Frontend: r.Frontend, Domain: r.Domain}] {
			return fmt.Errorf("config-parser reads no rule of %s in frontend %s (a fault of hapsync's: please report it)", r.Domain, r.Frontend)
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

// parseable reports whether config-parser reads a text whole: it stops at a line of 64 KiB, and hollows out .if blocks.
func parseable(text string) bool {
	for l := range strings.Lines(text) {
		if len(l) >= 60_000 || strings.HasPrefix(firstWord(l), ".") {
			return false
		}
	}
	return true
}
