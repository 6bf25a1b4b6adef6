package configfile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// Managed is what one reading of the managed file found.
type Managed struct {
	Config haproxy.Config
	// Foreign says, by domain, which object bears a name of ours without our shape.
	Foreign map[string]string
	// Behind is what requests for an unknown domain go on to behind our rules, as the file says it; empty where nothing is.
	Behind string
	// Exact are the frontends with rules that take the Host without a port alone, AnyPort those with rules that take it with any.
	Exact, AnyPort map[string]bool
	// StaleMap is set where the map file is not there, or not as this part wants it.
	StaleMap bool
	// mapRules are those of the frontends, ByMap whether they stand for the rules of all domains.
	mapRules map[string]mapRule
	ByMap    map[string]bool
	// Wildcards are those of all domains, sorted.
	Wildcards []string
	// Named are the further names of all domains that lines of theirs lead to: neither wildcards nor names of the map.
	Named map[string]bool
	// names are the further names of domains, by frontend.
	names map[string]map[string]string
	// Given is what the servers of new backends get.
	Given haproxy.Given
	// Own is what they have of haproxy.Backend.Own.
	Own []string
	// otherForm is a domain whose lines in a frontend mean what hapsync's do, in another form; empty where there is none.
	otherForm string
	// Routes are the frontends in which an entry in the map file does what a new domain's rule would do, with whether they take a
	// Host with any port.
	Routes map[string]bool
	// Spares are the spare backends, sorted.
	Spares []haproxy.Backend
	// spares are their sections, otherSpares the names of those that are the operator's, or that other lines name.
	spares      map[string]section
	otherSpares map[string]bool
	// mapFile is that of map rules that are to be written beside those of domains, if their rules change, and newSpares are the spare
	// backends that are to be there then; empty where none are.
	mapFile   string
	newSpares []haproxy.Backend
	// path is that of the managed file.
	path string
	// frontends and backends are the sections of the managed part, by name.
	frontends map[string]section
	backends  map[string]section
	// late are the words that backends inherit which have a default-server line below a server: it holds for those below it.
	late map[string]string
	// home is where new backends go.
	home part
	// Needed are the lines that need a server of a backend of ours, in their order.
	Needed map[haproxy.ServerKey][]haproxy.Need
	// NotOurs are the servers in backends of ours whose lines have not our shape, with their place.
	NotOurs map[haproxy.ServerKey]string
}

// readManaged finds the managed part of a file: the domains whose ACL, use_backend rule and backend have exactly our
// shape. file is the name that messages use; taken are the proxies of other files, by name, with their place; inherited are the
// defaults that a section takes.
func readManaged(d Document, frontends []string, file string, taken map[string]string, inherited func(section) defaultsSection) Managed {
	m := Managed{path: file, Foreign: map[string]string{}, Exact: map[string]bool{}, AnyPort: map[string]bool{}, mapRules: map[string]mapRule{}, ByMap: map[string]bool{}, frontends: map[string]section{}, backends: map[string]section{}, late: map[string]string{}}
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
		if givesLate(d.body(s)) >= 0 {
			m.late[name] = words
		}
		domain, _ := haproxy.DomainOf(name)
		b.Exact, b.ByMap, b.Closed, b.Options.Names = exact[name], byMap[name], !open[name], names[domain]
		m.Config.Backends = append(m.Config.Backends, b)
	}
	slices.SortFunc(m.Config.Backends, func(a, b haproxy.Backend) int { return cmp.Compare(a.Name, b.Name) })
	return m
}

// findSections finds the managed frontends, and returns all backends, by name. One that shares an .if block with others is the operator's.
func (m *Managed) findSections(d Document, frontends []string, file string) map[string]section {
	all := map[string]section{}
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

// from names the defaults that new backends take: those that a managed frontend names; empty where none does.
func (m *Managed) from() string {
	for _, name := range slices.Sorted(maps.Keys(m.frontends)) {
		if from := m.frontends[name].from; from != "" {
			return from
		}
	}
	return ""
}

// findRules collects the rules of our shape; a domain with a name of ours in another shape becomes foreign.
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
		}
	}
	for name, place := range taken {
		if domain, ok := haproxy.DomainOf(name); ok {
			m.Foreign[domain] = place
		}
	}
}

// behind is the line of an operator's in a frontend that requests for an unknown domain go on to: its default_backend, or a
// use_backend rule below one of ours.
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

// defaultBackend is the line that names the backend for requests that no rule takes.
func defaultBackend(lines []line) string {
	if name := lastOf(lines, "default_backend"); name != "" {
		return "default_backend " + name
	}
	return ""
}

// A lineRole says what a line of a managed backend is to us.
type lineRole int

const (
	roleForeign lineRole = iota // the operator's: kept
	roleBalance
	roleCookie
	roleCheck // "option httpchk" and "http-check send", where both have our shape
	roleServer
	roleMarked // another line with our mark
)

// roleOf tells the role of a line; the check's two lines count only where checkOf finds both.
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

// findServers finds the servers in our backends that are not ours.
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

// canonicalCookie puts the words of a cookie line that we write into our order, before an operator's own: the order
// means nothing to HAProxy, and client-native has one of its own.
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
