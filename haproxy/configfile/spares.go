package configfile

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// findSpares finds the spare backends in the managed file, which is docs[at]. They have exactly the lines of a new domain's backend without
// keys. A spare backend that any other line names is the operator's, and so is one with a line or a comment of an operator's. Lines that
// hapsync writes for domains and hosts with such a name do not count.
func (m *Managed) findSpares(docs []Document, at int, inherited func(section) defaultsSection) {
	heads := map[int]section{}
	for _, s := range docs[at].sections {
		if _, ok := haproxy.SpareNumber(s.name); ok && s.kind == "backend" && docs[at].shared(s) == "" {
			heads[s.head] = s
		}
	}
	m.spares, m.otherSpares = map[string]section{}, map[string]bool{}
	for i, d := range docs {
		for n, l := range d.lines {
			if !strings.Contains(l.raw, haproxy.SparePrefix) || strings.HasPrefix(firstWord(l.raw), "#") {
				continue
			}
			s, isHead := heads[n]
			if i == at && isHead && m.spares[s.name].end == 0 && m.plainSpare(d, s, inherited) {
				m.spares[s.name] = s
				continue
			}
			words := l.raw
			if i == at {
				words = m.operatorWords(d, n)
			}
			for _, name := range sparesIn(words) {
				m.otherSpares[name] = true
			}
		}
	}
	maps.DeleteFunc(m.spares, func(name string, _ section) bool { return m.otherSpares[name] })
	for name, s := range m.spares {
		m.Spares = append(m.Spares, haproxy.Backend{Name: name, Options: fileBackend(docs[at], s, name, "").Options})
	}
	slices.SortFunc(m.Spares, haproxy.CompareBackends)
}

// operatorWords are the words of a line that an operator may have written: all, or, of hapsync's lines, only a server's Params.
func (m *Managed) operatorWords(d Document, n int) string {
	l := d.lines[n]
	i, isHead := slices.BinarySearchFunc(d.sections, n, func(s section, n int) int { return cmp.Compare(s.head, n) })
	if !isHead {
		i--
	}
	if i < 0 {
		return l.raw
	}
	switch s := d.sections[i]; s {
	case m.frontends[s.name]:
		if domain, _, ours := ownLine(l); ours && m.backends[haproxy.BackendName(domain)].end > 0 {
			return ""
		}
	case m.backends[s.name]:
		b, _ := haproxy.FindBackend(m.Config.Backends, s.name)
		switch role := roleOf(l, b.Options.Check != ""); {
		case role == roleServer:
			return readServer(splitWords(l.raw), haproxy.Given{}).Params
		case isHead || role != roleForeign:
			return ""
		}
	}
	return l.raw
}

// plainSpare reports whether a spare backend has the defaults of a new backend, only lines that hapsync writes into it, and no comments.
func (m *Managed) plainSpare(d Document, s section, inherited func(section) defaultsSection) bool {
	have, fresh := inherited(s), inherited(m.fresh())
	if s.from != m.from() || have.file != fresh.file || have.head != fresh.head {
		return false
	}
	return !slices.ContainsFunc(d.lines[s.head:s.content], func(l line) bool { return strings.Contains(l.raw, "#") }) &&
		!slices.ContainsFunc(d.body(s), func(l line) bool {
			role := roleOf(l, false)
			return role != roleBalance && role != roleCookie && firstWord(l.raw) != ""
		})
}

// sparesIn are the spare backends that a line names.
func sparesIn(raw string) (names []string) {
	for {
		_, rest, found := strings.Cut(raw, haproxy.SparePrefix)
		if !found {
			return names
		}
		digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
		if raw = rest; digits != "" {
			names = append(names, haproxy.SparePrefix+digits)
		}
	}
}

// forNewDomains sets the map file of a new map rule, and the spare backends, which the file gets when rules of domains change. It sets none
// if domains need a reload anyway, if no defaults section gives backends what the file does (HAProxy 3.4), or if there are no spare backends
// (before 3.4).
func (c *Files) forNewDomains(ctx context.Context, f *Reading, want haproxy.Config) {
	path, ok := MapFile(c.Managed)
	version, err := c.Program(ctx)
	if err != nil {
		f.Managed.newSpares = f.Managed.Spares
		return
	}
	if !ok || c.staticDomains {
		return
	}
	caps := haproxy.CapabilitiesOf(version)
	if !caps.Backends {
		f.Managed.newSpares = f.Managed.sparesFor(c.spares, caps, want)
	}
	if len(f.Managed.newSpares) > 0 || caps.Backends && len(f.DomainDefaults()) > 0 {
		f.Managed.mapFile = path
	}
}

// sparesFor are the spare backends that the file should have. A HAProxy that cannot add a server with a cookie can use only those without
// cookie. They make sense once a domain has no cookie.
func (m *Managed) sparesFor(spares haproxy.Spares, caps haproxy.Capabilities, want haproxy.Config) []haproxy.Backend {
	options := spares.Options
	if !caps.CookieLive {
		options.Cookie = ""
		if !slices.ContainsFunc(want.Backends, func(b haproxy.Backend) bool { return b.Options.Cookie == "" }) {
			return nil
		}
	}
	var all []haproxy.Backend
	for number := range spares.Count {
		if name := haproxy.SpareName(number + 1); !m.otherSpares[name] {
			all = append(all, haproxy.Backend{Name: name, Options: options})
		}
	}
	slices.SortFunc(all, haproxy.CompareBackends)
	return all
}

// withSpares adds the existing spare backends to have, and the wanted ones to want. They change only when rules of domains change.
func withSpares(have Managed, want haproxy.Config) (Managed, haproxy.Config) {
	next := have.newSpares
	if slices.Equal(have.Config.Rules, want.Rules) {
		next = have.Spares
	}
	if len(have.Spares)+len(next) == 0 {
		return have, want
	}
	have.Config.Backends, want.Backends = together(have.Config.Backends, have.Spares), together(want.Backends, next)
	have.backends = maps.Clone(have.backends)
	maps.Copy(have.backends, have.spares)
	return have, want
}

func together(backends, spares []haproxy.Backend) []haproxy.Backend {
	return slices.SortedFunc(slices.Values(slices.Concat(backends, spares)), haproxy.CompareBackends)
}

// SparesLike are the spare backends that are the same in another reading, or missing there.
func (m *Managed) SparesLike(other Managed) []haproxy.Backend {
	return slices.DeleteFunc(slices.Clone(m.Spares), func(s haproxy.Backend) bool {
		o, there := haproxy.FindBackend(other.Spares, s.Name)
		return there && o.Options != s.Options || other.NamesSpare(s.Name)
	})
}

// NamesSpare reports whether a spare backend is the operator's, or another line names it.
func (m *Managed) NamesSpare(name string) bool { return m.otherSpares[name] }
