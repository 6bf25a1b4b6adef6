package sync

import (
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// take records what a pass did; nothing else of a pass changes the memory. running is the deployer's job; nil if there is none.
func (m *memory) take(p *pass, running *job) {
	found := findings{
		structural: p.report.Plan.structural(), reload: map[string]bool{}, edited: map[string]bool{},
		leaving: map[string][]string{}, ownAddress: map[string][]registry.Problem{},
	}
	found.collect(p)
	for _, name := range p.touched() {
		m.takeDomain(name, p, found, running)
	}
	m.count(p)
	m.counts, m.confirmed, m.reached = p.counts, p.snapshot, positionOf(p.snapshot)
	m.forget()
}

// findings are what a pass found, by domain.
type findings struct {
	structural map[string]bool // more than servers change
	reload     map[string]bool // a change needs a reload
	edited     map[string]bool // the file has to change
	leaving    map[string][]string
	ownAddress map[string][]registry.Problem
}

func (f findings) collect(p *pass) {
	for _, name := range p.report.Plan.needReload {
		f.reload[name] = true
	}
	for _, r := range p.outcome.Refused {
		f.reload[r.Change.Domain()] = true
	}
	for _, a := range p.report.Plan.Actions {
		if a.Via != ViaRuntime {
			f.edited[a.Change.Domain()] = true
		}
	}
	for _, c := range p.outcome.Draining {
		f.leaving[c.Domain()] = append(f.leaving[c.Domain()], c.Server.Name)
	}
	for _, problem := range p.ownAddress {
		f.ownAddress[problem.Domain] = append(f.ownAddress[problem.Domain], problem)
	}
}

// touched are the domains whose state a pass may change, sorted.
func (p *pass) touched() []string {
	if !p.scope.All() {
		return p.scope.Names()
	}
	names := slices.Concat(slices.Collect(maps.Keys(p.memory.domains)), p.report.Plan.domains(), p.report.Plan.needReload,
		slices.Collect(maps.Keys(p.held)), slices.Collect(maps.Keys(p.limited)), slices.Collect(maps.Keys(p.deferred)))
	for _, problem := range p.ownAddress {
		names = append(names, problem.Domain)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (m *memory) takeDomain(name string, p *pass, found findings, running *job) {
	d := m.at(name)
	live, _ := backendOf(p.state.Live, name)
	d.leaving = slices.Concat(found.leaving[name], p.stillLeaving(d.leaving, live))
	slices.Sort(d.leaving)
	d.held, d.ownAddress, d.limited, d.cooldown.key = p.held[name], found.ownAddress[name], p.limited[name], p.want.delayed[name]
	d.want, _ = backendOf(p.want.file, name)
	d.file, _ = backendOf(p.state.File, name)
	inJob := running != nil && running.scope.Has(name)
	d.waits = waitsFor(d, found.edited[name] || inJob, found.reload[name])
	waits := found.structural[name] || found.reload[name] || d.isHeld() || p.deferred[name]
	m.markLacks(d, live, waits || p.want.refused[name] && p.lacks(name))
	unchecked := d.isUnchecked() && !p.want.refused[name]
	m.markMayLack(d, unchecked || running.undoes(name, d.want, found.edited[name]))
	if d.refused == nil || p.want.refused[name] {
		return
	}
	if d.refused.retrying = true; !d.waitsForDeployer() {
		d.refused = nil // HAProxy has accepted it, or the registry no longer asks for it
	}
}

// stillLeaving are the leaving servers of a domain that the process still has, that are not wanted again, and that the pass has not
// removed. The domain may wait for the file, for example.
func (p *pass) stillLeaving(leaving []string, live haproxy.Backend) []string {
	want, _ := haproxy.FindBackend(p.want.process.Backends, live.Name)
	return slices.DeleteFunc(slices.Clone(leaving), func(name string) bool {
		_, there := haproxy.FindServer(live, name)
		_, wanted := haproxy.FindServer(want, name)
		key := haproxy.ServerKey{Backend: live.Name, Name: name}
		return !there || wanted || slices.ContainsFunc(p.made, func(c haproxy.Change) bool { return removes(c) && c.Key() == key })
	})
}

// count records how much the registry asks for, and the recent removals.
func (m *memory) count(p *pass) {
	m.total = m.amountOutside(p.scope)
	if p.scope.All() {
		clear(m.amounts)
	}
	for _, name := range p.scope.Names() {
		delete(m.amounts, name)
	}
	for _, b := range p.asked.Backends {
		name, _ := haproxy.DomainOf(b.Name)
		m.amounts[name] = amountOf(b)
		m.total = m.total.plus(m.amounts[name])
	}
	m.overrides.prune(p.asked, p.scope)
	m.recentRemovals.update(p.report.leaving, p.asked, time.Now())
}

// undoes reports whether the job, which may be nil, makes HAProxy load a domain in a state that is no longer wanted. edited is set if
// the file differs from what is wanted.
func (j *job) undoes(name string, want haproxy.Backend, edited bool) bool {
	switch {
	case j == nil || !j.reload:
		return false
	case j.scope.Has(name):
		loads, _ := backendOf(j.want, name)
		return !sameBackend(loads, want)
	}
	return edited
}

// markMayLack records since when the process may lack something of a domain after a reload.
func (m *memory) markMayLack(d *domainState, undone bool) {
	if !undone {
		d.mayLackSince = nil
	} else if d.mayLackSince == nil {
		reached := m.reached
		d.mayLackSince = &reached
	}
}

func waitsFor(d *domainState, file, reload bool) waiting {
	switch {
	case reload:
		return waitsForReload
	case file:
		return waitsForFile
	case d.isDraining():
		return waitsForDrain
	}
	return waitsForNothing
}

// markLacks records since when the process lacks something of a domain.
func (m *memory) markLacks(d *domainState, live haproxy.Backend, lacks bool) {
	switch {
	case !lacks:
		d.lacksSince = nil
	case d.lacksSince == nil:
		since := m.reached
		if d.mayLackSince != nil {
			since = *d.mayLackSince
		}
		d.lacksSince, d.before = &since, d.file
		if sameBackend(d.file, d.want) { // the file has it, and HAProxy has never loaded it
			d.before = live
		}
	}
}

// lacks reports whether the process lacks something that the registry asks for, of a domain of which HAProxy has refused something.
// Servers that are to be removed do not count.
func (p *pass) lacks(name string) bool {
	asked, _ := backendOf(p.memory.overrides.apply(p.asked), name)
	live, _ := backendOf(p.state.Live, name)
	if asked.Name == "" {
		return false
	}
	if asked.Name != live.Name || asked.Options != live.Options {
		return true
	}
	made := map[string]bool{}
	for _, c := range p.made {
		made[c.Domain()+"/"+c.Key().Name] = true
	}
	missing := false
	merge(live.Servers, asked.Servers, byServer, func(have, want *haproxy.Server) {
		missing = missing || want != nil && (have == nil || *have != *want) && !made[name+"/"+want.Name]
	})
	return missing
}

// takeResult records what a job did.
func (m *memory) takeResult(r result) {
	if r.err == nil || r.reloaded {
		m.identity.Digest = r.digest
	}
	if r.err != nil {
		return
	}
	m.refuse(r.refused)
	for name, d := range m.domains {
		if !r.scope.Has(name) {
			continue
		}
		d.file, _ = backendOf(r.file, name)
		written := sameBackend(d.want, d.file)
		asked, _ := backendOf(r.want, name)
		if d.isUnwritten() && (written || sameBackend(d.want, asked)) {
			d.waits = waitsFor(d, false, false)
		}
		if !r.reload && d.lacksSince == nil && d.refused == nil && !d.isUnchecked() {
			d.mayLackSince = nil
		}
		retried := d.refused != nil && d.refused.retrying && !has(r.refused, name)
		if retried && written && d.lacksSince == nil {
			d.refused = nil
		}
	}
	m.forget()
}
