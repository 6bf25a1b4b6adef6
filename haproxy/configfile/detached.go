package configfile

import (
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// Detached copies what a managed part says about domains, spare backends and routes, without its sections, and without a reference to the
// text of the file. With 10,000 domains this saves several megabytes, for as long as a worker runs.
func (m *Managed) Detached() Managed {
	k := interner{}
	d := Managed{
		path: m.path, Config: haproxy.Config{Backends: k.backends(m.Config.Backends), Rules: slices.Clone(m.Config.Rules)},
		Spares: k.backends(m.Spares), ByMap: k.set(m.ByMap), Routes: k.set(m.Routes), Named: k.set(m.Named), otherSpares: k.set(m.otherSpares),
		NotOurs: make(map[haproxy.ServerKey]string, len(m.NotOurs)),
	}
	for i := range d.Config.Rules {
		r := &d.Config.Rules[i]
		r.Frontend, r.Domain = k.intern(r.Frontend), k.intern(r.Domain)
	}
	for key, place := range m.NotOurs {
		d.NotOurs[haproxy.ServerKey{Backend: k.intern(key.Backend), Name: k.intern(key.Name)}] = place
	}
	return d
}

// An interner copies each string once, so that the copy does not keep a larger text in memory.
type interner map[string]string

func (k interner) intern(s string) string {
	if kept, ok := k[s]; ok {
		return kept
	}
	kept := strings.Clone(s)
	k[kept] = kept
	return kept
}

func (k interner) set(of map[string]bool) map[string]bool {
	kept := make(map[string]bool, len(of))
	for name, value := range of {
		kept[k.intern(name)] = value
	}
	return kept
}

func (k interner) names(of []string) []string {
	kept := slices.Clone(of)
	for i, name := range kept {
		kept[i] = k.intern(name)
	}
	return kept
}

func (k interner) backends(of []haproxy.Backend) []haproxy.Backend {
	kept := slices.Clone(of)
	for i := range kept {
		b := &kept[i]
		o := &b.Options
		for _, s := range []*string{&b.Name, &o.Balance, &o.Cookie, &o.Check, &o.CheckHost, &o.Names, &o.Lines} {
			*s = k.intern(*s)
		}
		b.Exact, b.ByMap, b.Own = k.names(b.Exact), k.names(b.ByMap), k.names(b.Own)
		b.Servers = slices.Clone(b.Servers)
		for n := range b.Servers {
			s := &b.Servers[n]
			s.Name, s.Cookie, s.Params = k.intern(s.Name), k.intern(s.Cookie), k.intern(s.Params)
		}
		typed := b.Typed
		b.Typed = nil
		for name, given := range typed {
			if b.Typed == nil {
				b.Typed = map[string]haproxy.Given{}
			}
			b.Typed[k.intern(name)] = given
		}
	}
	return kept
}
