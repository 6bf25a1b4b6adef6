package sync

import "time"

// A Way is how a change got into HAProxy's process.
type Way string

// The ways.
const (
	WayRuntime Way = "runtime" // by commands
	WayReload  Way = "reload"  // by a reload, which the domain waited for
)

// An unappliedChange is a change of a domain that HAProxy's process does not have yet.
type unappliedChange struct {
	heard time.Time // when etcd sent it; zero for a change found by a listing, which is not measured
	way   Way       // empty until a pass has found something to do
}

// unappliedChanges are by domain. A domain that changes again meanwhile counts once, from its first change.
type unappliedChanges map[string]unappliedChange

func (a unappliedChanges) add(domain string, heard time.Time) {
	if !has(a, domain) {
		a[domain] = unappliedChange{heard: heard}
	}
}

func (a unappliedChanges) join(more unappliedChanges) {
	for domain, m := range more {
		a.add(domain, m.heard)
	}
}

// measure measures the changes that the process has after a successful pass. A change that asks nothing of HAProxy is not measured.
func (a *Agent) measure(p *pass) {
	if p.state.Down != nil || len(a.memory.unapplied) == 0 {
		return
	}
	acted := map[string]bool{}
	for _, action := range p.report.Plan.Actions {
		acted[action.Change.Domain()] = true
	}
	a.memory.unapplied = without(a.memory.unapplied, func(domain string, change unappliedChange) bool {
		if !p.scope.Has(domain) {
			return false
		}
		if acted[domain] && change.way == "" {
			change.way = WayRuntime
		}
		d := a.memory.domains[domain]
		if d != nil && d.lacksSince != nil {
			if d.waits == waitsForReload {
				change.way = WayReload
			}
			a.memory.unapplied[domain] = change
			return false
		}
		if change.way != "" && !change.heard.IsZero() {
			a.cfg.Measure(change.way, time.Since(change.heard))
		}
		return true
	})
}
