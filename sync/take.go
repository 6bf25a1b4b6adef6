package sync

import (
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// take is the one place where what a pass did is remembered. atWork is what the deployer is at.
func (m *memory) take(p *pass, atWork *job) {
	waits, late := p.report.Plan.structural(), map[string]bool{}
	for _, name := range p.report.Plan.needReload {
		late[name] = true
	}
	edited := map[string]bool{}
	for _, a := range p.report.Plan.Actions {
		if a.Via != ViaRuntime {
			edited[a.Change.Domain()] = true
		}
	}
	for _, f := range p.outcome.Refused {
		late[f.Change.Domain()] = true
	}
	leaving := map[string][]string{}
	for _, c := range p.outcome.Draining {
		leaving[c.Domain()] = append(leaving[c.Domain()], c.Server.Name)
	}
	bound := map[string][]registry.Problem{}
	for _, problem := range p.ownAddress {
		bound[problem.Domain] = append(bound[problem.Domain], problem)
	}
	for _, name := range p.names() {
		inFlight := atWork != nil && atWork.scope.Has(name)
		if m.domains[name] == nil && !edited[name] && !late[name] && len(leaving[name]) == 0 && len(p.held[name]) == 0 && len(bound[name]) == 0 && p.limited[name] == "" && !p.left[name] && !inFlight {
			continue
		}
		d := m.at(name)
		live, _ := backendOf(p.state.Live, name)
		d.leaving = slices.Sorted(slices.Values(append(leaving[name], p.stillLeaving(d.leaving, live)...)))
		d.held, d.ownAddress, d.limited, d.cooldown.key = p.held[name], bound[name], p.limited[name], p.want.delayed[name]
		d.want, _ = backendOf(p.want.file, name)
		d.file, _ = backendOf(p.state.File, name)
		d.waits = waitsFor(d, edited[name] || inFlight, late[name])
		m.mark(d, live, waits[name] || late[name] || len(d.held) > 0 || p.left[name] || p.want.refused[name] && p.lacks(name))
		m.doubt(d, atWork.undoes(name, d.want, edited[name]))
		if p.scope.All() && d.waits == waitsNot {
			d.expired = nil
		}
		if d.refused != nil && !p.want.refused[name] {
			d.refused.retrying = true
		}
		if d.refused != nil && !p.want.refused[name] && d.waits != waitsForFile && d.waits != waitsForReload {
			d.refused = nil // it is asked for no more, or came through
		}
	}
	m.count(p)
	m.tally, m.confirmed, m.reached = p.tally, p.snapshot, positionOf(p.snapshot)
	m.forget()
}

// stillLeaving are those of a domain's leaving servers that the process has, that are wanted no more, and that the pass has not removed:
// the domain waits for the file, for example.
func (p *pass) stillLeaving(leaving []string, live haproxy.Backend) []string {
	want, _ := haproxy.FindBackend(p.want.process.Backends, live.Name)
	return slices.DeleteFunc(slices.Clone(leaving), func(name string) bool {
		_, there := haproxy.FindServer(live, name)
		_, wanted := haproxy.FindServer(want, name)
		key := haproxy.ServerKey{Backend: live.Name, Name: name}
		return !there || wanted || slices.ContainsFunc(p.made, func(c haproxy.Change) bool { return removes(c) && c.Key() == key })
	})
}

// count keeps how much is asked for, and what went of late.
func (m *memory) count(p *pass) {
	m.total = m.others(p.scope)
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

// undoes reports whether a reload that is at work has HAProxy load a domain otherwise than it is wanted now; edited is set where the file
// is not as it is wanted.
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

// doubt remembers since when the process may lack something of a domain after the reload that is at work.
func (m *memory) doubt(d *domainState, undone bool) {
	if !undone {
		d.unsure = nil
	} else if d.unsure == nil {
		unsure := m.reached
		d.unsure = &unsure
	}
}

func waitsFor(d *domainState, file, reload bool) waiting {
	switch {
	case reload:
		return waitsForReload
	case file:
		return waitsForFile
	case len(d.leaving) > 0:
		return waitsForDrain
	}
	return waitsNot
}

// mark remembers since when the process lacks something of a domain.
func (m *memory) mark(d *domainState, live haproxy.Backend, lacks bool) {
	switch {
	case !lacks:
		d.since = nil
	case d.since == nil:
		since := m.reached
		if d.unsure != nil {
			since = *d.unsure
		}
		d.since, d.before = &since, d.file
		if sameBackend(d.file, d.want) { // it is in the file, and was never loaded
			d.before = live
		}
	}
}

// lacks reports whether the process is not as the registry asks for a domain that HAProxy has refused something of: servers that
// go apart.
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

// takeResult is the place where what a job did is remembered.
func (m *memory) takeResult(r result) {
	if r.err == nil || r.reloaded {
		m.seen.Digest = r.digest
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
		was, _ := backendOf(r.want, name)
		if d.waits == waitsForFile && d.since == nil && (sameBackend(d.want, d.file) || sameBackend(d.want, was)) {
			d.waits = waitsNot
			if len(d.leaving) > 0 {
				d.waits = waitsForDrain
			}
		}
		if _, again := r.refused[name]; !again && d.refused != nil && d.refused.retrying && sameBackend(d.want, d.file) && d.since == nil {
			d.refused = nil
		}
	}
	m.forget()
}
