package sync

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// setFileAlarm sets when the file gets what the process has already. All changes until then are written together.
func (a *Agent) setFileAlarm() {
	switch {
	case !a.memory.hasDomainWhere((*domainState).isUnwritten):
		a.alarms.file = time.Time{}
	case a.alarms.file.IsZero():
		a.alarms.file = time.Now().Add(fileDelay)
	}
}

// startJob gives the deployer a job, if it is free and something is due: what a pass found, if p is not nil, and what the process has
// already.
func (a *Agent) startJob(p *pass) {
	now := time.Now()
	if a.deployer.busy != nil || !a.mayDeploy(now) {
		return
	}
	names := a.memory.domainsWhere((*domainState).isUnwritten)
	j := job{layout: a.cfg.Layout, base: a.memory.identity.Digest, began: now}
	urgent := false
	if p != nil {
		j, urgent = a.urgentJob(p)
	}
	if !urgent && (p != nil || len(names) == 0 || !due(a.alarms.file, now)) {
		return
	}
	if j.reload && len(j.late) > 1 && a.isGathering(now) {
		return
	}
	if !j.scope.All() {
		j = a.withWritten(j, names)
	}
	a.alarms.file = time.Time{}
	a.deployer.start(j)
}

const (
	// A reload for several domains is made after a time without a change of the registry: gatherPause, and gatherEach for each
	// domain. A reload with 10,000 domains takes some 2 s, so one for all changes is much sooner than two. gatherMost bounds the wait.
	gatherPause = 30 * time.Millisecond
	gatherEach  = 20 * time.Microsecond
	gatherMost  = time.Second
)

// isGathering reports whether a reload for several domains waits for more changes, and sets the alarm for the end of the wait.
func (a *Agent) isGathering(now time.Time) bool {
	if a.alarms.gatherSince.IsZero() {
		a.alarms.gatherSince = now
	}
	heard, unread := a.lastHeard()
	quiet := heard.Add(gatherPause + time.Duration(a.memory.total.domains)*gatherEach)
	if (unread || now.Before(quiet)) && now.Sub(a.alarms.gatherSince) < gatherMost {
		a.alarms.jobRetry.at = later(quiet, now)
		return true
	}
	a.alarms.gatherSince = time.Time{}
	return false
}

// urgentJob is the job of a pass; urgent reports whether it must not wait for more changes.
func (a *Agent) urgentJob(p *pass) (j job, urgent bool) {
	j = p.job()
	if p.state.Down != nil && !p.state.Deaf {
		j.reload = false
	}
	if j.reload {
		a.splay()
	}
	if time.Now().Before(a.alarms.reload) {
		j.reload = false
	}
	urgent = j.reload || p.report.Plan.Rewrite != "" || p.scope.All() && p.report.Plan.EditsFile()
	for name := range p.report.Plan.structural() {
		urgent = urgent || a.memory.at(name).waits == waitsForFile
	}
	for _, name := range j.late {
		d := a.memory.at(name)
		urgent = urgent || !sameBackend(d.want, d.file)
	}
	return j, urgent
}

// splay delays a reload that is due by a random time up to ReloadSplay, once for each reload.
func (a *Agent) splay() {
	now := time.Now()
	if a.alarms.splayed || a.cfg.ReloadSplay == 0 || now.Before(a.alarms.reload) {
		return
	}
	a.alarms.splayed = true
	a.alarms.reload = now.Add(rand.N(a.cfg.ReloadSplay)) //nolint:gosec // agents are to differ, not to be unpredictable
	a.memory.postponeReloads(a.alarms.reload)
}

// withWritten adds to a job domains that the process has completely.
func (a *Agent) withWritten(j job, names []string) job {
	also := map[string]haproxy.Backend{}
	for _, name := range names {
		if !j.scope.Has(name) {
			also[name] = a.memory.domains[name].want
		}
	}
	j.scope = haproxy.Domains(append(names, j.scope.Names()...)...)
	j.want = j.layout.withRules(withBackends(j.want, also))
	return j
}

// deployed records the result of a job, and has its domains read again: the next pass makes the changes that waited for it.
func (a *Agent) deployed(ctx context.Context, r result) {
	now := time.Now()
	a.deployer.busy = nil
	a.cfg.Observe(FilePass, r.took)
	if r.reloaded {
		a.memory.startCooldowns(r.options)
	}
	if r.reloaded || r.reloadError != nil {
		a.alarms.reload, a.alarms.splayed = now.Add(a.cfg.ReloadInterval), false
	}
	if r.err == nil {
		a.logRefused(r.refused)
	}
	a.memory.takeResult(r)
	a.memory.postponeReloads(a.alarms.reload)
	a.setJobRetry(r, now)
	a.recheckAfter(r)
	a.setFileAlarm()
	if r.reloaded {
		a.noteReload(ctx, r)
	}
	a.recordJob(r)
}

// setJobRetry sets when the deployer may get the next job, and when everything is read again.
func (a *Agent) setJobRetry(r result, now time.Time) {
	wait := min(max(2*a.alarms.jobRetry.wait, minRetry), maxRetry)
	a.alarms.jobRetry = retry{}
	switch {
	case errors.Is(r.err, haproxy.ErrConflict):
		a.alarms.whole = now
	case r.err != nil:
		a.alarms.jobRetry = retry{at: now.Add(wait), wait: wait}
	case r.reloaded:
		a.alarms.whole = now.Add(readBackDelay)
	}
}

// noteReload records what a reload has loaded, and which process serves after it.
func (a *Agent) noteReload(ctx context.Context, r result) {
	a.memory.worker = "" // until a pass has read the domains of the reload
	a.alarms.loaded, a.alarms.outdated = map[string]haproxy.Backend{}, r.worker
	for _, name := range r.late {
		if !a.deployer.changedMeanwhile[name] {
			a.alarms.loaded[name], _ = backendOf(r.loaded, name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, partialTimeout)
	defer cancel()
	if identity, err := a.cfg.Process.Identity(ctx); err == nil { // after an error, the next poll finds out
		a.memory.identity = identity
	}
}

// recheckAfter has the domains read again that a job may have changed.
func (a *Agent) recheckAfter(r result) {
	recheck := a.alarms.recheck
	for name, d := range a.memory.domains {
		if d.lags() || r.reloaded || d.refused != nil && r.scope.Has(name) {
			recheck[name] = true
		}
	}
	if r.reloaded {
		for key := range a.memory.overrides {
			recheck[key.Domain()] = true
		}
	}
}

// writeAll writes to the file what only the process has, and waits for that. It also writes the notes.
func (a *Agent) writeAll() {
	if a.deployer.busy != nil {
		a.deployed(context.Background(), <-a.deployer.results)
	}
	a.alarms.jobRetry, a.alarms.file = retry{}, time.Now()
	a.startJob(nil)
	if a.deployer.busy != nil {
		a.deployed(context.Background(), <-a.deployer.results)
	}
	if !a.alarms.notes.IsZero() {
		a.writeNotes()
	}
}
