package web

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A Level says how urgent something is.
type Level string

// Levels, the worst last.
const (
	LevelOK      Level = "ok"
	LevelNotice  Level = "notice"
	LevelTrouble Level = "trouble"
)

func (l Level) rank() int { return slices.Index([]Level{LevelOK, LevelNotice, LevelTrouble}, l) }

// A Tally counts HAProxy's servers by state.
type Tally struct {
	Up       int `json:"up" doc:"servers that get requests"`
	Down     int `json:"down" doc:"servers whose check fails"`
	Draining int `json:"draining" doc:"servers that get only clients with their cookie: in drain, or with weight 0"`
	Maint    int `json:"maint" doc:"servers in maintenance"`
	Sessions int `json:"sessions" doc:"sessions right now"`
}

func (t *Tally) add(s haproxy.ServerStatus) {
	t.Sessions += s.Sessions
	switch word, _, _ := strings.Cut(s.Status, " "); {
	case word == "MAINT":
		t.Maint++
	case word == "DOWN", word == "NOLB":
		t.Down++
	case word == "DRAIN", s.Weight == 0:
		t.Draining++
	default:
		t.Up++
	}
}

func (t *Tally) merge(other Tally) {
	t.Up, t.Down, t.Draining, t.Maint = t.Up+other.Up, t.Down+other.Down, t.Draining+other.Draining, t.Maint+other.Maint
	t.Sessions += other.Sessions
}

// A Domain is a line of the list of domains.
type Domain struct {
	Name    string `json:"domain" doc:"the domain"`
	Level   Level  `json:"level" doc:"'ok', 'notice' or 'trouble'"`
	Why     string `json:"why,omitempty" doc:"what is wrong, in a few words"`
	Hosts   int    `json:"hosts" doc:"good hosts in the registry"`
	Pending int    `json:"pending" doc:"hosts that lack a key"`
	Bad     int    `json:"problems" doc:"keys of it that cannot be used, or are left alone"`
	Read    bool   `json:"read" doc:"HAProxy's servers have been read: the numbers below hold"`
	Tally
	Balance string `json:"balance,omitempty" doc:"how requests are spread; absent without the key"`
	Check   string `json:"check,omitempty" doc:"the health check; absent without the key"`
	Options string `json:"options,omitempty" doc:"all options that its keys say, in words; absent without such a key"`
}

// trouble is what is wrong with a domain, apart from its servers.
type trouble struct {
	bad, overrides int
	late           bool
}

// digest makes the domains from what was read.
func (st *state) digest() {
	st.about = map[string]*trouble{}
	at := func(name string) *trouble {
		if st.about[name] == nil {
			st.about[name] = &trouble{}
		}
		return st.about[name]
	}
	for _, p := range st.status.Last.Problems {
		if p.Domain != "" {
			at(p.Domain).bad++
		}
	}
	for _, o := range st.status.Overrides {
		at(o.Domain).overrides++
	}
	for _, name := range st.status.Late() {
		at(name).late = true
	}
	st.domains = make([]Domain, 0, len(st.snapshot.Domains))
	for _, d := range st.snapshot.Domains {
		if d.Ignored() && at(d.Name).bad == 0 {
			continue
		}
		st.domains = append(st.domains, st.domainOf(d))
	}
	for _, name := range st.leavingDomains() {
		if _, there := slices.BinarySearchFunc(st.snapshot.Domains, name, (*registry.Domain).CompareName); !there {
			st.domains = append(st.domains, st.domainOf(&registry.Domain{Name: name}))
		}
	}
	slices.SortFunc(st.domains, func(a, b Domain) int { return cmp.Compare(a.Name, b.Name) })
	st.worst = make([]*Domain, len(st.domains))
	for i := range st.domains {
		st.worst[i] = &st.domains[i]
	}
	slices.SortStableFunc(st.worst, func(a, b *Domain) int { return cmp.Compare(b.Level.rank(), a.Level.rank()) })
}

// domainOf is a domain with its servers.
func (st *state) domainOf(d *registry.Domain) Domain {
	line := Domain{
		Name: d.Name, Level: LevelOK, Hosts: len(d.Hosts), Pending: len(d.Pending),
		Balance: d.Options.Balance, Check: d.Options.Check, Options: d.Options.String(),
	}
	found, known := st.servers.of(d.Name)
	line.Read = known
	for _, s := range found {
		line.add(s)
	}
	var why []string
	tell := func(level Level, n int, text string) {
		if n == 0 {
			return
		}
		why = append(why, text)
		if level.rank() > line.Level.rank() {
			line.Level = level
		}
	}
	about := cmp.Or(st.about[d.Name], &trouble{})
	line.Bad = about.bad
	if line.Read && len(d.Hosts) > 0 && line.Up == 0 {
		tell(LevelTrouble, 1, "no host takes requests")
	}
	tell(LevelTrouble, line.Bad, registry.Count(line.Bad, "problem"))
	tell(LevelNotice, line.Down, registry.Count(line.Down, "host")+" down")
	if about.late {
		tell(LevelNotice, 1, "waits for the file or a reload")
	}
	tell(LevelNotice, about.overrides, registry.Count(about.overrides, "override"))
	tell(LevelNotice, line.Pending, registry.Count(line.Pending, "host")+" pending")
	if len(d.Hosts) == 0 {
		tell(LevelNotice, 1, "no host")
	}
	line.Why = strings.Join(why, ", ")
	return line
}

// A DomainList is a part of the list of domains.
type DomainList struct {
	Version  int               `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
	Revision registry.Revision `json:"revision" doc:"the registry's revision that was last heard of"`
	Total    int               `json:"total" doc:"how many domains there are, or match 'q'"`
	Domains  []Domain          `json:"domains" doc:"the domains, by name"`
	Next     string            `json:"next,omitempty" doc:"what to give as 'after' for those that follow; absent with the last ones"`
}

// list are at most limit domains after a name, whose names contain q.
func (st *state) list(q, after string, limit int) DomainList {
	out := DomainList{Version: apiVersion, Revision: st.snapshot.Revision, Domains: []Domain{}}
	for _, d := range st.domains {
		if !strings.Contains(d.Name, q) {
			continue
		}
		out.Total++
		switch {
		case d.Name <= after:
		case len(out.Domains) < limit:
			out.Domains = append(out.Domains, d)
		case out.Next == "":
			out.Next = out.Domains[len(out.Domains)-1].Name
		}
	}
	return out
}

// matching are the domains whose names contain q, the worst first.
func (st *state) matching(q string) []*Domain {
	if q == "" {
		return st.worst
	}
	var found []*Domain
	for _, d := range st.worst {
		if strings.Contains(d.Name, q) {
			found = append(found, d)
		}
	}
	return found
}
