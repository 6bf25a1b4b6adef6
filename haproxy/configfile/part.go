package configfile

import (
	"math"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// A part of a file is a defaults section with the sections up to the next one: its defaults hold for all of them that name none.
type part struct {
	from, to int // indexes of sections
	head     int // the header line of the last one
}

// partsOf are the parts of a file, in its order.
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

// homeOf is the part that new backends go to, because the frontends can use them there: of those in mode http, the first one with
// backends of hapsync's. Before there are any, it is the part of the first managed frontend, or one of backends alone behind that.
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

// owns reports whether a section is the backend of a domain of ours, or may be a spare one.
func (m *Managed) owns(d Document, s section) bool {
	if s.kind != "backend" {
		return false
	}
	_, spare := haproxy.SpareNumber(s.name)
	return m.backends[s.name] == s || spare && d.shared(s) == ""
}

// fresh stands for a backend that is new.
func (m *Managed) fresh() section { return section{from: m.from(), head: m.home.head} }

// place finds where new backends go: behind the managed backend of their part that sorts before them, so that the order does not
// depend on the order of the changes; the first ones before the first managed backend, or at the end of the part.
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
	for _, b := range p.want.Backends {
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

// lastOf is the last section of a part that another one can follow; else that of the file.
func (p *splicer) lastOf(home part) int {
	for i := home.to - 1; i >= home.from; i-- {
		if !p.doc.sections[i].joined {
			return i
		}
	}
	return len(p.doc.sections) - 1
}
