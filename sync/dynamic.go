package sync

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// maxLiveDomains is the most new domains that are added to the process one by one. In HAProxy 3.4 with 10,000 domains of two hosts,
// 1,000 more take about as long as a reload (three seconds), and 10,000 more a minute.
const maxLiveDomains = 1000

// dynamicDomains are the domains of a plan whose backends and rules change without a reload.
type dynamicDomains struct {
	// live has each domain with a new or changed backend or rule. It is true if the process can take all changes of the domain.
	live map[string]bool
	// inSpare are the live domains that get a spare backend, noSpare those that are not live because no spare backend is free.
	inSpare, noSpare map[string]bool
	// tooMany is why a reload is faster than so many new domains; empty if it is not.
	tooMany string
}

func dynamicDomainsOf(changes []haproxy.Change, st haproxy.State, targets map[string]target) dynamicDomains {
	d := dynamicDomains{live: map[string]bool{}, inSpare: map[string]bool{}, noSpare: map[string]bool{}}
	if n := newBackends(targets); n > maxLiveDomains && st.Dynamic.Allowed {
		d.tooMany = fmt.Sprintf("%d new domains come sooner by a reload than one by one", n)
		return d
	}
	for _, c := range changes {
		if c.Op() == haproxy.OpRemove || c.Object() == haproxy.ObjectServer {
			continue
		}
		ok, _ := st.Dynamic.Live(c)
		before, known := d.live[c.Domain()]
		d.live[c.Domain()] = ok && (before || !known)
	}
	for _, c := range changes {
		if c.Op() == haproxy.OpAdd && c.Object() == haproxy.ObjectServer && d.live[c.Domain()] {
			d.live[c.Domain()], _ = live(c, st, targets)
		}
	}
	if !st.Dynamic.Allowed {
		d.assignSpares(changes, st)
	}
	return d
}

// assignSpares gives each new live domain a spare backend, as long as there are any: this process cannot add backends. A domain with a
// new rule that is not in the map is live only if it has a spare backend.
func (d dynamicDomains) assignSpares(changes []haproxy.Change, st haproxy.State) {
	free := maps.Clone(st.Dynamic.Spares)
	for _, c := range changes {
		add, ok := c.(haproxy.AddBackend)
		if !ok {
			continue
		}
		options := st.Dynamic.Fresh(add.Options)
		left, known := free[options]
		switch {
		case left > 0 && d.live[c.Domain()]:
			free[options]--
			d.inSpare[c.Domain()] = true
		case known && left == 0:
			d.live[c.Domain()], d.noSpare[c.Domain()] = false, true
		}
	}
	for _, c := range changes {
		add, ok := c.(haproxy.AddRule)
		if ok && !add.Rule.ByMap && !d.inSpare[c.Domain()] && st.Dynamic.InSpare[add.Rule.Backend()] == "" {
			d.live[c.Domain()] = false
		}
	}
}

// inProcess is a change as the process gets it.
func (d dynamicDomains) inProcess(c haproxy.Change) haproxy.Change {
	if add, ok := c.(haproxy.AddBackend); ok {
		add.InSpare = d.inSpare[c.Domain()]
		return add
	}
	return c
}

// why says why a change needs a reload: for a backend or a rule the most specific reason, else the other one.
func (d dynamicDomains) why(c haproxy.Change, other string) string {
	switch {
	case c.Object() == haproxy.ObjectServer:
		return other
	case d.tooMany != "":
		return d.tooMany
	case d.noSpare[c.Domain()]:
		return "no spare backend is free"
	}
	return other
}

func newBackends(targets map[string]target) (n int) {
	for _, b := range targets {
		if b.isNew {
			n++
		}
	}
	return n
}

// A target is a backend of the process, or one that the plan adds.
type target struct {
	haproxy.BackendOptions
	added int // new servers
	isNew bool
}

func targetsOf(live haproxy.Config, changes []haproxy.Change) map[string]target {
	all := map[string]target{}
	for _, b := range live.Backends {
		all[b.Name] = target{BackendOptions: b.Options}
	}
	for _, c := range changes {
		if add, ok := c.(haproxy.AddBackend); ok {
			all[add.Name] = target{BackendOptions: add.Options, isNew: true}
		}
	}
	for _, c := range changes {
		if add, ok := c.(haproxy.AddServer); ok {
			if b, found := all[add.Backend]; found {
				b.added++
				all[add.Backend] = b
			}
		}
	}
	return all
}

// live reports whether the Runtime API can make a change: the HAProxy version can do it, the backend's balance algorithm allows it, and
// it does not take too long. If not, why says what prevents it.
func live(c haproxy.Change, st haproxy.State, backends map[string]target) (ok bool, why string) {
	static := func(backend string) string {
		if b := backends[backend]; !b.Dynamic() {
			return "balance " + b.Balance
		}
		return ""
	}
	switch ch := c.(type) {
	case haproxy.AddServer:
		if n := backends[ch.Backend].added; n > maxLiveServers {
			return false, fmt.Sprintf("%d new servers of a backend come sooner by a reload than one by one", n)
		}
		if s := static(ch.Backend); s != "" {
			return false, s + " takes no server while it runs"
		}
	case haproxy.SetServer:
		if s := static(ch.Backend); s != "" && ch.Have.Weight != ch.Want.Weight {
			return false, s + " takes no weight while it runs"
		}
		if ch.Want.Check && st.ChecksOff[ch.Key()] {
			ch.Have.Check = true // a command turns it on
			c = ch
		}
	}
	return st.Capabilities.Live(c)
}

// NeedsReload returns the first change of a new domain that the process cannot take, for a domain with keys of hosts only; nil if such a
// domain needs no reload.
func (l Layout) NeedsReload(st haproxy.State) haproxy.Change {
	added := registry.Domain{Name: "new.hapsync.invalid", Hosts: []registry.Host{{Name: "server1"}}}
	want, _ := l.Desired(registry.Snapshot{Domains: []*registry.Domain{&added}}, st)
	for _, c := range Diff(haproxy.Config{}, want) {
		if ok, _ := st.Dynamic.Live(c); !ok && c.Object() != haproxy.ObjectServer {
			return c
		}
	}
	return nil
}

// addDynamic adds the domains that were added to the running process before, if now only their servers change: the file may not have
// them yet.
func (p *Plan) addDynamic(changes []haproxy.Change, st haproxy.State) {
	structural := map[string]bool{}
	for _, c := range changes {
		structural[c.Domain()] = structural[c.Domain()] || c.Object() != haproxy.ObjectServer
	}
	for name := range st.Dynamic.Added {
		if domain, _ := haproxy.DomainOf(name); !structural[domain] {
			p.dynamic[domain] = true
		}
	}
}

// changesMapRule reports whether a change may be about the one rule for all domains of the map.
func changesMapRule(c haproxy.Change) bool {
	switch ch := c.(type) {
	case haproxy.AddRule:
		return ch.Rule.ByMap
	case haproxy.SetRule:
		return ch.Have.ByMap || ch.Want.ByMap
	}
	return false
}

// closesRule reports whether a change makes a rule match no request.
func closesRule(c haproxy.Change) bool {
	set, ok := c.(haproxy.SetRule)
	return ok && set.Want.Closed
}

// removeRule adds the removal of a rule to the plan, if the process can do it and it has an effect. why says why it needs a reload;
// empty if it does not.
func (p *Plan) removeRule(c haproxy.RemoveRule, st haproxy.State) (why string) {
	if c.Rule.Closed {
		return "" // the rule matches no request already
	}
	next := nextRoute(c.Rule, st)
	possible, _ := st.Dynamic.Live(c)
	if possible && (next != "" || c.Rule.ByMap || st.Dynamic.Added[c.Rule.Backend()]) {
		p.Actions = append(p.Actions, Action{ViaRuntime, c})
	}
	if next != "" && !canSkip(c.Rule, st) {
		return "requests for it are to go on to " + next
	}
	return ""
}

// whyClosed says why the process must load a rule that is closed; empty if it need not: the domain then answers 503 with either rule.
func whyClosed(c haproxy.SetRule, want haproxy.Config, st haproxy.State) string {
	if c.Have.Closed {
		return ""
	}
	if next := nextRoute(c.Have, st); next != "" {
		return "requests for it are to go on to " + next
	}
	b, _ := backendOf(want, c.Want.Domain)
	if slices.ContainsFunc(b.Servers, func(s haproxy.Server) bool { return s.State == haproxy.Ready }) {
		return "servers of other domains track its servers, and no request is to reach these"
	}
	return ""
}

// nextRoute says, in words, where HAProxy sends the requests of a domain without the domain's rule; empty if it answers them with 503.
func nextRoute(r haproxy.Rule, st haproxy.State) string {
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

// canSkip reports whether the process can skip the rule of a removed domain. No process can remove a rule, but some can skip it, and an
// entry of the map can be removed. The rule of a wildcard cannot.
func canSkip(r haproxy.Rule, st haproxy.State) bool {
	b, _ := backendOf(st.Live, r.Domain)
	return st.Dynamic.Allowed || st.Dynamic.InSpare[b.Name] != "" || r.ByMap && haproxy.Wildcards(b.Options.Names) == ""
}
