package configfile

import (
	"math"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// A part of a file is a defaults section with the sections up to the next one. Those that name no defaults section inherit it.
type part struct {
	from, to int // indexes of sections
	head     int // the header line of the last section
}

// partsOf are the parts of a file, in order.
func partsOf(d Document) []part {
	var parts []part
	for i, s := range d.sections {
		if i == 0 || s.kind == "defaults" {
			parts = append(parts, part{from: i})
		}
		last := &parts[len(parts)-1]
		last.to, last.head = i+1, s.head
	}
	return parts
}

// homeOf is the part to which new backends are added, so that the frontends can use them: the first part in mode http with backends of
// hapsync's. If there are none yet, it is the part of the first managed frontend, or the last of the parts with only backends behind it.
func (m *Managed) homeOf(d Document, inherited func(section) defaultsSection) part {
	parts := partsOf(d)
	if len(parts) == 0 {
		return part{head: math.MaxInt}
	}
	isHTTP := func(p part) bool { return unquote(lastOf(inherited(section{head: p.head}).lines, "mode")) == "http" }
	all := func(p part) []section { return d.sections[p.from:p.to] }
	for _, p := range parts {
		if slices.ContainsFunc(all(p), func(s section) bool { return m.owns(d, s) }) && isHTTP(p) {
			return p
		}
	}
	home := slices.IndexFunc(parts, func(p part) bool {
		return slices.ContainsFunc(all(p), func(s section) bool { return s.kind == "frontend" && m.frontends[s.name] == s })
	})
	if home < 0 {
		return parts[len(parts)-1]
	}
	for _, p := range parts[home+1:] {
		if slices.ContainsFunc(all(p)[1:], func(s section) bool { return s.kind != "backend" }) || !isHTTP(p) {
			break
		}
		home++
	}
	return parts[home]
}

// owns reports whether a section is the backend of one of our domains, or a possible spare backend.
func (m *Managed) owns(d Document, s section) bool {
	if s.kind != "backend" {
		return false
	}
	_, spare := haproxy.SpareNumber(s.name)
	return m.backends[s.name] == s || spare && d.shared(s) == ""
}

// fresh is the section of a new backend, as far as its defaults depend on it.
func (m *Managed) fresh() section { return section{from: m.from(), head: m.home.head} }

// place chooses the places of new backends: behind the managed backend of their part that sorts before them, so that the result does not
// depend on the order of changes. The first ones go before the first managed backend, or to the end of the part.
func (p *splicer) place() {
	home, first := p.have.home, -1
	index := map[string]int{}
	for i := home.to - 1; i >= home.from; i-- {
		if s := p.doc.sections[i]; s.kind == "backend" && p.ours(s) {
			index[s.name], first = i, i
		}
	}
	after := max(first-1, 0)
	if first < 0 {
		after = p.lastOf(home)
	}
	have := p.have.Config.Backends
	h := 0
	for i := range p.want.Backends {
		b := &p.want.Backends[i]
		for h < len(have) && have[h].Name < b.Name {
			if i, here := index[have[h].Name]; here {
				after = i
			}
			h++
		}
		if h == len(have) || have[h].Name != b.Name {
			p.added[after] = append(p.added[after], b)
		}
	}
}

// lastOf is the last section of a part behind which another one can be added, or else the last section of the file.
func (p *splicer) lastOf(home part) int {
	for i := home.to - 1; i >= home.from; i-- {
		if !p.doc.sections[i].joined {
			return i
		}
	}
	return len(p.doc.sections) - 1
}
