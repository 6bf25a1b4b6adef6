package configfile

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// findSpares finds the spare backends of the managed part, which is in the document at a place among those of all files: they say what a
// new domain's backend without keys would, and no more. One that any other line names is left to the operator, and so is one with a
// line or a comment of an operator's. What hapsync writes for domains and hosts of such a name names none.
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

// operatorWords are those of a line that an operator may have written: all, but of hapsync's own lines no more than further words of servers.
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

// plainSpare reports whether a spare backend has the defaults of a new one, and no lines but those that hapsync writes into it,
// without comments.
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

// forNewDomains adds to a reading what the file is to have for new domains, if rules of domains change: a map file for a map rule, and
// spare backends. There is none of it if domains come by reloads alone, if no defaults section would give backends what the
// file gives them (HAProxy 3.4), or if there are no spare ones (before).
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

// sparesFor are the spare backends that the file is to have. A HAProxy that takes no server with a cookie while it runs can use those
// without one alone: they are of use as soon as a domain has none.
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

// withSpares are what the file has, and what is wanted of it, with the spare backends among those of domains: they change with
// rules of domains only.
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
	return slices.SortedFunc(slices.Values(slices.Concat(backends, spares)), func(a, b haproxy.Backend) int { return cmp.Compare(a.Name, b.Name) })
}

// SparesLike are the spare backends that another reading has likewise, or not at all.
func (m *Managed) SparesLike(other Managed) []haproxy.Backend {
	return slices.DeleteFunc(slices.Clone(m.Spares), func(s haproxy.Backend) bool {
		o, there := haproxy.FindBackend(other.Spares, s.Name)
		return there && o.Options != s.Options || other.NamesSpare(s.Name)
	})
}

// NamesSpare reports whether a spare backend is the operator's, or a line names it.
func (m *Managed) NamesSpare(name string) bool { return m.otherSpares[name] }
