package sync

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// past is what an agent knows from its earlier passes; a single pass has none. The passes write to its maps.
type past struct {
	// confirmed is the snapshot that HAProxy was brought in line with last. One of another cluster or of an earlier
	// revision is held, unless it says the same.
	confirmed registry.Snapshot
	// other is why the registry may not be the one that was confirmed; nil where it is. It stays so, whatever revision is
	// reached, until the registry says the same, or somebody else has brought HAProxy in line with it.
	other error
	// inLine names the worker that had nothing left to do after the last pass; empty where something was.
	inLine string
	// pending is what the file does not have yet, by domain.
	pending map[string]haproxy.Backend
	// unfinished are the domains with a removed server that is still there.
	unfinished map[string]bool
	departures departures
	overrides  overrides
	// left are the domains that HAProxy refused in the last whole pass.
	left []registry.Problem
	// refusal is why no reload is tried now: HAProxy has refused one. Each refused one may keep clients out for a while.
	refusal error
	// tally is of the last snapshot that was looked at.
	tally tally
	// dead has "domain/host" of the hosts whose lease ended: there is nothing to drain.
	dead map[string]bool
}

func newPast() past {
	return past{
		pending: map[string]haproxy.Backend{}, unfinished: map[string]bool{},
		departures: departures{}, overrides: overrides{}, dead: map[string]bool{},
	}
}

// observe takes note of what someone set on the socket of a process that was in line.
func (p past) observe(want haproxy.Config, st haproxy.State) {
	p.overrides.forget(want)
	if p.inLine == "" || p.inLine != st.Worker {
		return
	}
	basis := st.File
	basis.Backends = slices.Clone(st.File.Backends)
	for _, b := range p.pending {
		if i, ok := slices.BinarySearchFunc(basis.Backends, b, byBackend); ok {
			basis.Backends[i] = b
		}
	}
	p.overrides.observe(basis, want, st.Live)
}

// drift counts the changes of a plan whose domains the registry says nothing new about.
func (p past) drift(plan Plan, snapshot registry.Snapshot) int {
	if p.inLine == "" {
		return 0
	}
	drift := map[haproxy.Change]bool{}
	for _, a := range plan.Actions {
		name := a.Change.Domain()
		_, pending := p.pending[name]
		if pending || p.unfinished[name] {
			continue
		}
		was, _ := domainOf(p.confirmed, name)
		if is, _ := domainOf(snapshot, name); was.Equal(is) {
			drift[a.Change] = true
		}
	}
	return len(drift)
}

func domainOf(s registry.Snapshot, name string) (registry.Domain, bool) {
	i, ok := slices.BinarySearchFunc(s.Domains, name, func(d registry.Domain, name string) int { return cmp.Compare(d.Name, name) })
	if !ok {
		return registry.Domain{}, false
	}
	return s.Domains[i], true
}

// removals are those of a pass; have is the number of managed servers, with those that went shortly before.
func (p past) removals(leaving []serverName, have int) removals {
	r := p.departures.with(leaving, have, time.Now())
	for _, s := range leaving {
		domain, _ := haproxy.DomainOf(s.backend)
		r.expired = r.expired || p.dead[domain+"/"+s.server]
	}
	return r
}

// bury marks the removals of hosts that are dead.
func (p past) bury(plan Plan) Plan {
	if len(p.dead) == 0 {
		return plan
	}
	plan.Actions = slices.Clone(plan.Actions)
	for i, a := range plan.Actions {
		if remove, ok := a.Change.(haproxy.RemoveServer); ok && p.dead[remove.Domain()+"/"+remove.Server.Name] {
			remove.Dead = true
			plan.Actions[i].Change = remove
		}
	}
	return plan
}

// expired takes note of hosts whose lease ended, and forgets those that are there again.
func (p past) expired(hosts map[string]bool, snapshot registry.Snapshot) {
	maps.Copy(p.dead, hosts)
	if len(p.dead) == 0 {
		return
	}
	for _, d := range snapshot.Domains {
		for _, h := range d.Hosts {
			delete(p.dead, d.Name+"/"+h.Name)
		}
	}
}
