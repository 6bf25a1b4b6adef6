package sync

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// maxComing is the number of new domains up to which they come to the process by commands. With 10,000 domains of two hosts in HAProxy
// 3.4, a thousand more take about as long as a reload; ten thousand took a minute, and a reload takes three seconds.
const maxComing = 1000

// newcomers are what of the changes of backends and rules can come to the process.
type newcomers struct {
	// coming are the domains of which a backend or a rule is new or changes, and all of that can come; inSpare those of them of which
	// a spare backend becomes the backend.
	coming, inSpare map[string]bool
	// many says that there are too many new domains for that, scarce why single ones do not come.
	many   string
	scarce map[string]string
}

// comingLive finds out what can come to the process.
func comingLive(changes []haproxy.Change, st haproxy.State, running map[string]running) newcomers {
	a := newcomers{coming: map[string]bool{}, inSpare: map[string]bool{}, scarce: map[string]string{}}
	if n := newDomains(running); n > maxComing && st.Dynamic.Allowed {
		a.many = fmt.Sprintf("%d new domains come sooner by a reload than one by one", n)
		return a
	}
	for _, c := range changes {
		if c.Op() == haproxy.OpRemove || c.Object() == haproxy.ObjectServer {
			continue
		}
		ok, _ := st.Dynamic.Live(c)
		before, known := a.coming[c.Domain()]
		a.coming[c.Domain()] = ok && (before || !known)
	}
	for _, c := range changes {
		if c.Op() == haproxy.OpAdd && c.Object() == haproxy.ObjectServer && a.coming[c.Domain()] {
			a.coming[c.Domain()], _ = live(c, st.Capabilities, running)
		}
	}
	if !st.Dynamic.Allowed {
		a.allot(changes, st)
	}
	return a
}

// allot gives the new domains that are coming a spare backend each, as far as there are enough: the process takes no backend. A rule that
// has to be in the map is of such a domain alone.
func (a newcomers) allot(changes []haproxy.Change, st haproxy.State) {
	free := maps.Clone(st.Dynamic.Spares)
	for _, c := range changes {
		add, ok := c.(haproxy.AddBackend)
		if !ok {
			continue
		}
		options := st.Dynamic.Fresh(add.Options)
		left, known := free[options]
		switch {
		case left > 0 && a.coming[c.Domain()]:
			free[options]--
			a.inSpare[c.Domain()] = true
		case known && left == 0:
			a.coming[c.Domain()], a.scarce[c.Domain()] = false, "no spare backend is free"
		}
	}
	for _, c := range changes {
		if add, ok := c.(haproxy.AddRule); ok && !add.Rule.ByMap && !a.inSpare[c.Domain()] && st.Dynamic.InSpare[add.Rule.Backend()] == "" {
			a.coming[c.Domain()] = false
		}
	}
}

// inProcess is a change as it is made in the process.
func (a newcomers) inProcess(c haproxy.Change) haproxy.Change {
	if add, ok := c.(haproxy.AddBackend); ok {
		add.InSpare = a.inSpare[c.Domain()]
		return add
	}
	return c
}

// why is why a change needs the reload; without a better reason, the other one.
func (a newcomers) why(c haproxy.Change, other string) string {
	if c.Object() == haproxy.ObjectServer {
		return other
	}
	return cmp.Or(a.many, a.scarce[c.Domain()], other)
}

// newDomains is how many backends are to be added.
func newDomains(running map[string]running) (n int) {
	for _, b := range running {
		if b.fresh {
			n++
		}
	}
	return n
}

// NeedsReload is the first change of a new domain, one without keys but those of its hosts, that the process cannot take; nil if such a
// domain comes without a reload.
func (l Layout) NeedsReload(st haproxy.State) haproxy.Change {
	added := registry.Domain{Name: "new.hapsync.invalid", Hosts: []registry.Host{{Name: "server1"}}}
	want, _ := l.Desired(registry.Snapshot{Domains: []registry.Domain{added}}, st)
	for _, c := range Diff(haproxy.Config{}, want) {
		if ok, _ := st.Dynamic.Live(c); !ok && c.Object() != haproxy.ObjectServer {
			return c
		}
	}
	return nil
}

// came adds those that have come, and of which only servers change: the file may not have them yet.
func (p *Plan) came(changes []haproxy.Change, st haproxy.State) {
	others := map[string]bool{}
	for _, c := range changes {
		others[c.Domain()] = others[c.Domain()] || c.Object() != haproxy.ObjectServer
	}
	for name := range st.Dynamic.Added {
		if domain, _ := haproxy.DomainOf(name); !others[domain] {
			p.dynamic[domain] = true
		}
	}
}

// rulesByMap reports whether a change may be one of the rule that stands for those of all domains.
func rulesByMap(c haproxy.Change) bool {
	switch ch := c.(type) {
	case haproxy.AddRule:
		return ch.Rule.ByMap
	case haproxy.SetRule:
		return ch.Have.ByMap || ch.Want.ByMap
	}
	return false
}

// goesOn is what requests for a domain that goes away are for then; empty where HAProxy answers them with 503.
func goesOn(r haproxy.Rule, st haproxy.State) string {
	b, _ := backendOf(st.Live, r.Domain)
	own := strings.Fields(b.Options.Names)
	for _, wildcard := range st.Wildcards {
		covers := func(name string) bool { return haproxy.Covers(wildcard, name) }
		if !slices.Contains(own, wildcard) && (covers(r.Domain) || slices.ContainsFunc(own, covers)) {
			return "the domain with the name " + wildcard
		}
	}
	if st.Behind != "" {
		return st.Behind + ", as those for an unknown domain do"
	}
	return ""
}

// unrule takes a rule out of the process, as far as that can do without it. why is why a reload has to; empty if it need not.
func (p *Plan) unrule(c haproxy.RemoveRule, st haproxy.State) (why string) {
	if c.Rule.Closed {
		return "" // requests for the domain go on already
	}
	unpublish, _ := st.Dynamic.Live(c)
	behind := goesOn(c.Rule, st)
	if unpublish && (behind != "" || c.Rule.ByMap || st.Dynamic.Added[c.Rule.Backend()]) {
		p.Actions = append(p.Actions, Action{ViaRuntime, c})
	}
	if behind != "" && !passesBy(c.Rule, st) {
		return "requests for it are to go on to " + behind
	}
	return ""
}

// shuts reports whether a change is of a rule that is to take no request.
func shuts(c haproxy.Change) bool {
	set, ok := c.(haproxy.SetRule)
	return ok && set.Want.Closed
}

// whyClosed is why the process has to load a rule that is closed; empty if it need not, as its domain answers 503 with either rule.
func whyClosed(c haproxy.SetRule, want haproxy.Config, st haproxy.State) string {
	if c.Have.Closed {
		return ""
	}
	if behind := goesOn(c.Have, st); behind != "" {
		return "requests for it are to go on to " + behind
	}
	b, _ := backendOf(want, c.Want.Domain)
	if slices.ContainsFunc(b.Servers, func(s haproxy.Server) bool { return s.State == haproxy.Ready }) {
		return "servers of other domains track its servers, and no request is to reach these"
	}
	return ""
}

// passesBy reports whether the process can let requests for a domain that goes away go on: its own rule cannot go, but the process may
// pass it by, and an entry of the map can, though not the rule of a wildcard.
func passesBy(r haproxy.Rule, st haproxy.State) bool {
	b, _ := backendOf(st.Live, r.Domain)
	return st.Dynamic.Allowed || st.Dynamic.InSpare[b.Name] != "" || r.ByMap && haproxy.Wildcards(b.Options.Names) == ""
}
