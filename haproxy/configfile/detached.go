package configfile

import (
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// Detached is what a managed part says of domains, spare backends and routes, without its sections, and without the text that it was
// read from: at 10,000 domains that spares an agent several megabytes, for as long as a worker runs.
func (m *Managed) Detached() Managed {
	k := keeper{}
	d := Managed{
		path: m.path, Config: haproxy.Config{Backends: k.backends(m.Config.Backends), Rules: slices.Clone(m.Config.Rules)},
		Spares: k.backends(m.Spares), ByMap: k.set(m.ByMap), Routes: k.set(m.Routes), Named: k.set(m.Named), otherSpares: k.set(m.otherSpares),
		NotOurs: make(map[haproxy.ServerKey]string, len(m.NotOurs)),
	}
	for i := range d.Config.Rules {
		r := &d.Config.Rules[i]
		r.Frontend, r.Domain = k.keep(r.Frontend), k.keep(r.Domain)
	}
	for key, place := range m.NotOurs {
		d.NotOurs[haproxy.ServerKey{Backend: k.keep(key.Backend), Name: k.keep(key.Name)}] = place
	}
	return d
}

// A keeper copies strings, each one once, so that the text that they are parts of is not kept with them.
type keeper map[string]string

func (k keeper) keep(s string) string {
	if kept, ok := k[s]; ok {
		return kept
	}
	kept := strings.Clone(s)
	k[kept] = kept
	return kept
}

func (k keeper) set(of map[string]bool) map[string]bool {
	kept := make(map[string]bool, len(of))
	for name, value := range of {
		kept[k.keep(name)] = value
	}
	return kept
}

func (k keeper) names(of []string) []string {
	kept := slices.Clone(of)
	for i, name := range kept {
		kept[i] = k.keep(name)
	}
	return kept
}

func (k keeper) backends(of []haproxy.Backend) []haproxy.Backend {
	kept := slices.Clone(of)
	for i := range kept {
		b := &kept[i]
		for _, s := range []*string{&b.Name, &b.Options.Balance, &b.Options.Cookie, &b.Options.Check, &b.Options.CheckHost, &b.Options.Names, &b.Options.Lines} {
			*s = k.keep(*s)
		}
		b.Exact, b.ByMap, b.Own = k.names(b.Exact), k.names(b.ByMap), k.names(b.Own)
		b.Servers = slices.Clone(b.Servers)
		for n := range b.Servers {
			s := &b.Servers[n]
			s.Name, s.Cookie, s.Params = k.keep(s.Name), k.keep(s.Cookie), k.keep(s.Params)
		}
		typed := b.Typed
		b.Typed = nil
		for name, given := range typed {
			if b.Typed == nil {
				b.Typed = map[string]haproxy.Given{}
			}
			b.Typed[k.keep(name)] = given
		}
	}
	return kept
}
