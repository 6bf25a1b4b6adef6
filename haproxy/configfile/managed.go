package configfile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// Managed is the managed part of one reading of the managed file.
type Managed struct {
	Config haproxy.Config
	// Foreign is, by domain, an object that has one of our names but not our form.
	Foreign map[string]string
	// Behind is the operator's line that gets requests for unknown domains; empty without one.
	Behind string
	// Exact are the frontends with rules that match the Host header only without a port, AnyPort those with rules for any port.
	Exact, AnyPort map[string]bool
	// StaleMap is set if the map file is missing or differs from the managed part.
	StaleMap bool
	// mapRules are the map rules of the frontends. ByMap says whether they replace the rules of all domains.
	mapRules map[string]mapRule
	ByMap    map[string]bool
	// Wildcards are the wildcards of all domains, sorted.
	Wildcards []string
	// Named are the other names of all domains that have lines: neither wildcards nor entries of the map.
	Named map[string]bool
	// names are the other names of domains, by frontend and domain.
	names map[string]map[string]string
	// Given is what the servers of new backends get.
	Given haproxy.Given
	// Own is haproxy.Backend.Own of new backends.
	Own []string
	// otherForm is a domain whose lines have the meaning of hapsync's, but another form; empty if there is none.
	otherForm string
	// Routes are the frontends in which an entry of the map file has the effect of a new domain's rule. The value says whether it matches
	// the Host header with any port.
	Routes map[string]bool
	// Spares are the spare backends, sorted.
	Spares []haproxy.Backend
	// spares are their sections. otherSpares are the names of spare backends that belong to the operator, or that other lines use.
	spares      map[string]section
	otherSpares map[string]bool
	// mapFile is the file of the map rules to write, if the rules of domains change. newSpares are the spare backends to have then. Both
	// are empty if there are none.
	mapFile   string
	newSpares []haproxy.Backend
	// path is the path of the managed file.
	path string
	// frontends and backends are the sections of the managed part, by name.
	frontends map[string]section
	backends  map[string]section
	// late has the backends with a default-server line below a server, which counts only for the servers below it. The value is the
	// inherited default-server words.
	late map[string]string
	// home is the part of the file to which new backends are added.
	home part
	// Needed are the lines that need a server of a managed backend, in the order of the file.
	Needed map[haproxy.ServerKey][]haproxy.Need
	// NotOurs are the servers in managed backends whose lines do not have our form, with their places.
	NotOurs map[haproxy.ServerKey]string
}

// readManaged finds the managed part of a file: the domains whose ACL, use_backend rule and backend have exactly our form. file is the name
// for messages. taken are the proxies of other files, by name, with their places. inherited returns the defaults of a section.
func readManaged(
	d Document, frontends []string, file string, taken map[string]string, inherited func(section) defaultsSection,
) Managed {
	m := Managed{
		path: file, Foreign: map[string]string{}, Exact: map[string]bool{}, AnyPort: map[string]bool{}, mapRules: map[string]mapRule{},
		ByMap: map[string]bool{}, frontends: map[string]section{}, late: map[string]string{},
	}
	all := m.findSections(d, frontends, file)
	m.findRules(d, frontends, file, all)
	m.home = m.homeOf(d, inherited)
	fresh := inherited(m.fresh()).server
	m.Given, m.Own = givenBy(fresh), append(givenTLS(fresh), givenChecks(fresh)...)
	for _, f := range frontends {
		if s, ok := m.frontends[f]; ok {
			m.Behind = cmp.Or(m.Behind, behind(d.active(s)), defaultBackend(inherited(s).lines))
		}
	}
	if mapFile, ok := MapFile(file); ok {
		m.Routes = m.routesOf(d, mapFile)
	}
	m.findForeign(file, all, taken)
	m.Config.Backends = make([]haproxy.Backend, 0, len(m.backends))
	m.findServers(d, file)
	m.findNeeded(d, file)
	names, exact, byMap, open := m.findNames(d), map[string][]string{}, map[string][]string{}, map[string]bool{}
	for _, r := range m.Config.Rules {
		open[r.Backend()] = open[r.Backend()] || !r.Closed
		if !r.AnyPort && !r.Closed {
			exact[r.Backend()] = append(exact[r.Backend()], r.Frontend)
		}
		if r.ByMap {
			byMap[r.Backend()] = append(byMap[r.Backend()], r.Frontend)
		}
	}
	for name, s := range m.backends {
		words := inherited(s).server
		b := fileBackend(d, s, name, words)
		if lateDefaultServer(d.body(s)) >= 0 {
			m.late[name] = words
		}
		domain, _ := haproxy.DomainOf(name)
		b.Exact, b.ByMap, b.Closed, b.Options.Names = exact[name], byMap[name], !open[name], names[domain]
		m.Config.Backends = append(m.Config.Backends, b)
	}
	slices.SortFunc(m.Config.Backends, haproxy.CompareBackends)
	return m
}

// findSections finds the managed frontends, and returns all backends by name. A backend that shares an .if block is the operator's.
func (m *Managed) findSections(d Document, frontends []string, file string) map[string]section {
	all := make(map[string]section, len(d.sections))
	for _, s := range d.sections {
		switch s.kind {
		case "frontend":
			if slices.Contains(frontends, s.name) {
				m.frontends[s.name] = s
			}
		case "backend", "listen":
			if other, dup := all[s.name]; dup {
				s = other // HAProxy refuses the file anyway
				s.kind = "listen"
			}
			all[s.name] = s
			domain, ok := haproxy.DomainOf(s.name)
			if shared := d.shared(s); ok && shared != "" {
				m.Foreign[domain] = fmt.Sprintf("%s %s (%s:%d), %s", s.kind, s.name, file, s.head+1, shared)
			}
		}
	}
	return all
}

// from is the defaults section for new backends: the one that a managed frontend names; empty if none does.
func (m *Managed) from() string {
	for _, name := range slices.Sorted(maps.Keys(m.frontends)) {
		if from := m.frontends[name].from; from != "" {
			return from
		}
	}
	return ""
}

// findRules collects the rules of our form. A domain that uses one of our names in another form becomes foreign.
func (m *Managed) findRules(d Document, frontends []string, file string, all map[string]section) {
	mapFile, _ := MapFile(m.path)
	for _, f := range frontends {
		s, ok := m.frontends[f]
		if !ok {
			continue
		}
		m.ByMap[f] = false
		if r, ok := mapRuleIn(d.active(s), mapFile); ok {
			m.mapRules[f], m.ByMap[f] = r, r.all
		}
		for _, r := range m.rulesOf(d, s, file) {
			m.Exact[f], m.AnyPort[f] = m.Exact[f] || !r.AnyPort && !r.Closed, m.AnyPort[f] || r.AnyPort
			if all[r.Backend()].kind == "backend" {
				m.Config.Rules = append(m.Config.Rules, r)
			} else if m.Foreign[r.Domain] == "" {
				m.Foreign[r.Domain] = fmt.Sprintf("a use_backend rule in frontend %s without a backend beside it (%s)", f, file)
			}
		}
	}
	m.Config.Rules = slices.DeleteFunc(m.Config.Rules, func(r haproxy.Rule) bool { return m.Foreign[r.Domain] != "" })
	m.backends = make(map[string]section, len(m.Config.Rules))
	for _, r := range m.Config.Rules {
		m.backends[r.Backend()] = all[r.Backend()]
	}
	haproxy.SortRules(m.Config.Rules)
}

func (m *Managed) findForeign(file string, all map[string]section, taken map[string]string) {
	for name, s := range all {
		domain, ok := haproxy.DomainOf(name)
		if _, ours := m.backends[name]; ok && !ours && m.Foreign[domain] == "" {
			m.Foreign[domain] = fmt.Sprintf("%s %s (%s:%d)", s.kind, name, file, s.head+1)
			if s.kind == "backend" {
				m.Foreign[domain] += ", but no ACL and no use_backend rule of hapsync's form that lead to it"
			}
		}
	}
	for name, place := range taken {
		if domain, ok := haproxy.DomainOf(name); ok {
			m.Foreign[domain] = place
		}
	}
}

// behind is the operator's line of a frontend that gets requests for unknown domains: its default_backend, or a use_backend rule below
// one of ours.
func behind(body []line) (found string) {
	below := false
	for _, l := range body {
		if firstWord(l.raw) != "use_backend" {
			continue
		}
		if r, ours := readMapRule(l); ours {
			below = below || r.all
			continue
		}
		_, _, ours := ownLine(l)
		if below = below || ours; below && !ours {
			found = strings.Join(splitWords(l.raw), " ")
		}
	}
	return cmp.Or(defaultBackend(body), found)
}

// defaultBackend is the line that names the backend for requests that no rule matches.
func defaultBackend(lines []line) string {
	if name := lastOf(lines, "default_backend"); name != "" {
		return "default_backend " + name
	}
	return ""
}

// A lineRole is what a line of a managed backend means to hapsync.
type lineRole int

const (
	roleForeign lineRole = iota // the operator's: kept
	roleBalance
	roleCookie
	roleCheck // "option httpchk" and "http-check send", if both have our form
	roleServer
	roleMarked // another line with our mark
)

// roleOf returns the role of a line. checked says whether checkOf has found both lines of the check.
func roleOf(l line, checked bool) lineRole {
	if l.conditional {
		return roleForeign
	}
	switch firstWord(l.raw) {
	case "balance":
		return roleBalance
	case "cookie":
		return roleCookie
	case "server":
		if isOurServer(l.raw) {
			return roleServer
		}
	case "timeout", "http-request", "default-server":
		if isMarked(commentOf(l.raw)) {
			return roleMarked
		}
	case "option":
		if w := splitWords(l.raw); checked && len(w) == 2 && w[1] == "httpchk" {
			return roleCheck
		}
	case "http-check":
		if w := splitWords(l.raw); checked && len(w) > 1 && w[1] == "send" {
			return roleCheck
		}
		if isMarked(commentOf(l.raw)) {
			return roleMarked
		}
	}
	return roleForeign
}

// findServers finds the servers in managed backends that are not ours.
func (m *Managed) findServers(d Document, file string) {
	m.NotOurs = map[haproxy.ServerKey]string{}
	for name, s := range m.backends {
		for i, l := range d.body(s) {
			keyword := firstWord(l.raw)
			if keyword != "server" && keyword != "server-template" || roleOf(l, false) == roleServer {
				continue
			}
			w := splitWords(l.raw)
			if len(w) < 2 {
				continue
			}
			place := fmt.Sprintf("%s %s (%s:%d)", keyword, w[1], file, s.head+2+i)
			switch {
			case l.conditional:
				place += ", between .if and .endif"
			case keyword == "server":
				place += ", not an address with the cookie " + w[1]
			}
			m.NotOurs[haproxy.ServerKey{Backend: name, Name: strings.Trim(w[1], `"'`)}] = place
		}
	}
}

// canonicalCookie sorts the words of a cookie line into our order, with the operator's own words last. The order means nothing to HAProxy,
// and client-native has another one.
func canonicalCookie(words []string) string {
	if len(words) == 0 {
		return ""
	}
	rest := slices.Clone(words[1:])
	line := words[:1:1]
	take := func(n int, word string) bool {
		i := slices.Index(rest, word)
		if i < 0 || i+n > len(rest) {
			return false
		}
		line = append(line, rest[i:i+n]...)
		rest = slices.Delete(rest, i, i+n)
		return true
	}
	for _, word := range strings.Fields(haproxy.StickyWords) {
		if !take(1, word) {
			return strings.Join(words, " ")
		}
	}
	for _, word := range []string{"httponly", "secure"} {
		take(1, word)
	}
	for _, word := range []string{"attr", "maxidle", "maxlife"} {
		take(2, word)
	}
	return strings.Join(append(line, rest...), " ")
}
