package sync

import (
	"maps"
	"time"
)

// A Way is how a change came into HAProxy's process.
type Way string

// The ways.
const (
	WayRuntime Way = "runtime" // by commands
	WayReload  Way = "reload"  // by a reload, which the domain waited for
)

// An arrival is a change of a domain on its way from etcd into HAProxy's process.
type unappliedChange struct {
	heard time.Time // when etcd told of it; zero where a listing found it, which is not measured
	way   Way       // empty until a pass has found something to do
}

// arrivals are by domain. A domain that changes again on the way counts once, from the first change on.
type unappliedChanges map[string]unappliedChange

func (a unappliedChanges) add(domain string, heard time.Time) {
	if _, comes := a[domain]; !comes {
		a[domain] = unappliedChange{heard: heard}
	}
}

func (a unappliedChanges) join(more unappliedChanges) {
	for domain, m := range more {
		a.add(domain, m.heard)
	}
}

// measure tells of the changes that the process has since a good pass. One that HAProxy need not know of is not told.
func (a *Agent) measure(p *pass) {
	if p.state.Down != nil || len(a.memory.unapplied) == 0 {
		return // what the process has is not known
	}
	acted := map[string]bool{}
	for _, action := range p.report.Plan.Actions {
		acted[action.Change.Domain()] = true
	}
	maps.DeleteFunc(a.memory.unapplied, func(domain string, on unappliedChange) bool {
		if !p.scope.Has(domain) {
			return false
		}
		if acted[domain] && on.way == "" {
			on.way = WayRuntime
		}
		d := a.memory.domains[domain]
		if d != nil && d.lacksSince != nil {
			if d.waits == waitsForReload {
				on.way = WayReload
			}
			a.memory.unapplied[domain] = on
			return false
		}
		if on.way != "" && !on.heard.IsZero() {
			a.cfg.Measure(on.way, time.Since(on.heard))
		}
		return true
	})
}
