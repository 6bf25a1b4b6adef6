package configfile

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

const indent = "    "

// defaultBind is the address of the first frontend of a new managed file.
const defaultBind = ":80"

// newFile is a managed file without domains, for a rewrite without an existing file.
func newFile(frontends []string) string {
	var b strings.Builder
	for i, f := range slices.Sorted(slices.Values(frontends)) {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString("frontend " + f + "\n")
		if i == 0 {
			b.WriteString(indent + "bind " + defaultBind + "\n")
		}
	}
	return b.String()
}

// roomPerDomain is about how many bytes a new domain of a few hosts takes.
const roomPerDomain = 400

// splice returns the text of a file with the managed part want. It writes, drops or keeps our own lines, and keeps every other byte. m must
// have been read from d. If m.mapFile is set, each frontend whose rules change gets a map rule. The file also gets m.newSpares.
func splice(d Document, m Managed, want haproxy.Config) string {
	m, want = withSpares(m, want)
	p := splicer{doc: d, have: m, want: want, added: map[int][]*haproxy.Backend{}}
	p.place()
	p.out.Grow(d.size() + roomPerDomain*max(0, len(want.Backends)-len(m.Config.Backends)) + 1<<16)
	for i, s := range d.sections {
		if i == 0 {
			p.copy(0, s.head)
		}
		p.section(s)
		for _, b := range p.added[i] {
			p.backend(*b)
		}
		p.copy(s.content, s.end)
	}
	p.flush()
	return p.out.String()
}

type splicer struct {
	doc  Document
	have Managed
	want haproxy.Config
	// added are the new backends by the index of the section before them.
	added map[int][]*haproxy.Backend
	out   strings.Builder
	// blanks are blank lines that wait until the section behind them is written: they are dropped with it.
	blanks string
	// route are the words of the new map rule of the current frontend, outdated is its existing one.
	route    []string
	outdated mapRule
	// inPlace is set if the new map rule replaces the existing one in its place.
	inPlace bool
}

func (p *splicer) ours(s section) bool {
	own, ok := p.have.backends[s.name]
	return ok && own.head == s.head
}

func (p *splicer) copy(from, to int) {
	for _, l := range p.doc.lines[from:to] {
		p.raw(l.raw)
	}
}

// raw writes a line unchanged.
func (p *splicer) raw(raw string) {
	if firstWord(raw) == "" {
		p.blanks += raw
		return
	}
	p.flush()
	p.out.WriteString(raw)
}

// flush adds a missing end to the last line, and writes the waiting blank lines.
func (p *splicer) flush() {
	if s := p.out.String(); s != "" && s[len(s)-1] != '\n' {
		p.out.WriteByte('\n')
	}
	p.out.WriteString(p.blanks)
	p.blanks = ""
}

// line writes a line of ours.
func (p *splicer) line(words ...string) {
	p.flush()
	p.out.WriteString(indent)
	for i, w := range words {
		if i > 0 {
			p.out.WriteByte(' ')
		}
		p.out.WriteString(w)
	}
	p.out.WriteByte('\n')
}

// section writes a section up to the end of its content. It edits it if it is ours.
func (p *splicer) section(s section) {
	switch {
	case s.kind == "frontend" && p.have.frontends[s.name].end == s.end:
		p.frontend(s)
	case s.kind == "backend" && p.ours(s):
		p.editBackend(s)
	default:
		p.copy(s.head, s.content)
	}
}

func (p *splicer) frontend(s section) {
	have, want := rulesIn(s.name, p.have.Config.Rules), rulesIn(s.name, p.want.Rules)
	body := p.doc.body(s)
	replaced := p.newRoute(s.name, body, want)
	owned := domains(have)
	unchanged := p.unchanged(s.name, owned, want)
	left := changed(want, unchanged) // still to be written, by kind
	if len(have) == len(want) && len(left["acl"])+len(left["use_backend"]) == 0 && !replaced {
		p.copy(s.head, s.content)
		return
	}
	p.copy(s.head, s.head+1)
	last := lastOwned(body, owned)
	all := func(haproxy.Rule) bool { return true }
	rest := func() {
		left["acl"], left["use_backend"] = p.rules("acl", left["acl"], all), p.rules("use_backend", left["use_backend"], all)
	}
	wildcards, place := wildcardsOf(body, want, unchanged["acl"], p.names), wildcardPlace(body, owned)
	above := outside(shadows(body), body)
	_, hasRules := last["use_backend"]
	for i, l := range body {
		route, isRoute := readMapRule(l)
		here := i == place && len(wildcards) > 0
		if above[i] || isRoute || here {
			rest()
		}
		if above[i] && !hasRules || here {
			p.writeRoute()
		}
		if here {
			p.wildcards(wildcards)
		}
		if isRoute && replaced && route == p.outdated {
			p.replaceRoute()
			continue
		}
		domain, kind, ours := ownLine(l)
		switch {
		case !ours || owned[domain].Domain == "":
			p.raw(l.raw)
			continue
		case kind == "wildcard":
			continue
		}
		left[kind] = p.rules(kind, left[kind], func(r haproxy.Rule) bool { return r.Domain <= domain })
		if unchanged[kind][domain].Domain != "" {
			p.raw(l.raw)
		}
		if i == last[kind] {
			if left[kind] = p.rules(kind, left[kind], all); kind == "use_backend" {
				p.writeRoute()
			}
		}
	}
	rest()
	p.writeRoute()
	if place == len(body) {
		p.wildcards(wildcards)
	}
}

// lastOwned is the index of the last line of ours, by kind.
func lastOwned(body []line, owned map[string]haproxy.Rule) map[string]int {
	last := map[string]int{}
	for i, l := range body {
		if domain, kind, ours := ownLine(l); ours && owned[domain].Domain != "" {
			last[kind] = i
		}
	}
	return last
}

// rulesIn are the rules of one frontend; rules are sorted.
func rulesIn(frontend string, rules []haproxy.Rule) []haproxy.Rule {
	from, _ := slices.BinarySearchFunc(rules, frontend, func(r haproxy.Rule, f string) int { return cmp.Compare(r.Frontend, f) })
	to := from
	for to < len(rules) && rules[to].Frontend == frontend {
		to++
	}
	return rules[from:to]
}

// names are the wanted other names of a rule.
func (p *splicer) names(r haproxy.Rule) string {
	b, _ := haproxy.FindBackend(p.want.Backends, r.Backend())
	return b.Options.Names
}

func (p *splicer) wildcards(rules []wildcardRule) {
	for _, r := range rules {
		p.raw(r.text)
	}
}

// domains indexes rules by domain.
func domains(rules []haproxy.Rule) map[string]haproxy.Rule {
	set := make(map[string]haproxy.Rule, len(rules))
	for _, r := range rules {
		set[r.Domain] = r
	}
	return set
}

// rules writes the lines of one kind for the first rules, as long as here returns true. It returns the others.
func (p *splicer) rules(kind string, rules []haproxy.Rule, here func(haproxy.Rule) bool) []haproxy.Rule {
	for len(rules) > 0 && here(rules[0]) {
		if kind == "acl" {
			p.line(aclWords(rules[0])...)
			for _, n := range nameLines(rules[0], p.names(rules[0])) {
				if !haproxy.IsWildcard(n.name) {
					p.line(append(n.words(), ownMark)...)
				}
			}
		} else if !rules[0].ByMap {
			p.line("use_backend", rules[0].Backend(), "if", rules[0].ACL())
		}
		rules = rules[1:]
	}
	return rules
}
