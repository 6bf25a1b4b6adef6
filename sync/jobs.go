package sync

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// setFileAlarm sets when the file is to get what the process has already: together with what gathers until then.
func (a *Agent) setFileAlarm() {
	lags := a.memory.names(func(d *domainState) bool { return d.waits == waitsForFile && d.since == nil })
	switch {
	case len(lags) == 0:
		a.alarms.file = time.Time{}
	case a.alarms.file.IsZero():
		a.alarms.file = time.Now().Add(fileDelay)
	}
}

// startJob gives the deployer what it is to do, where it has nothing to do: what a pass found, and what the process has already,
// or only that.
func (a *Agent) startJob(p *pass) {
	now := time.Now()
	if a.deployer.busy != nil || !a.mayDeploy(now) {
		return
	}
	names := a.memory.names(func(d *domainState) bool { return d.waits == waitsForFile && d.since == nil })
	j := job{layout: a.cfg.Layout, base: a.memory.seen.Digest, began: now}
	urgent := false
	if p != nil {
		j, urgent = a.urgentJob(p)
	}
	if !urgent && (p != nil || len(names) == 0 || !due(a.alarms.file, now)) {
		return
	}
	if j.reload && len(j.late) > 1 && a.gathers(now) {
		return
	}
	if !j.scope.All() {
		j = a.alsoWrite(j, names)
	}
	a.alarms.file = time.Time{}
	a.deployer.start(j)
}

const (
	// gatherPause is the time without a change of the registry after which a reload for several domains is made, with gatherEach for
	// each domain that there is: a reload of 10,000 takes some 2 s, and one for all of them is much sooner than two. gatherMost bounds
	// the wait.
	gatherPause = 30 * time.Millisecond
	gatherEach  = 20 * time.Microsecond
	gatherMost  = time.Second
)

// gathers reports whether a reload for several domains waits for more of them, which may be about to come.
func (a *Agent) gathers(now time.Time) bool {
	if a.alarms.gather.IsZero() {
		a.alarms.gather = now
	}
	heard, unread := a.news()
	if quiet := heard.Add(gatherPause + time.Duration(a.memory.total.domains)*gatherEach); (unread || now.Before(quiet)) && now.Sub(a.alarms.gather) < gatherMost {
		a.alarms.retry.at = later(quiet, now)
		return true
	}
	a.alarms.gather = time.Time{}
	return false
}

// urgentJob is what a pass asks of the deployer, without waiting for more.
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
	structural := p.report.Plan.structural()
	urgent = j.reload || p.report.Plan.Rewrite != "" || p.scope.All() && p.report.Plan.EditsFile()
	for name := range structural {
		urgent = urgent || a.memory.at(name).waits == waitsForFile
	}
	for _, name := range j.late {
		d := a.memory.at(name)
		urgent = urgent || !sameBackend(d.want, d.file)
	}
	return j, urgent
}

// splay puts off a reload that is due by a random part of the splay: once, until it is made.
func (a *Agent) splay() {
	now := time.Now()
	if a.alarms.splayed || a.cfg.ReloadSplay == 0 || now.Before(a.alarms.reload) {
		return
	}
	a.alarms.splayed = true
	a.alarms.reload = now.Add(rand.N(a.cfg.ReloadSplay)) //nolint:gosec // agents are to differ, not to be unpredictable
	a.memory.reloadsFrom(a.alarms.reload)
}

// alsoWrite adds domains of which the process has everything to a job.
func (a *Agent) alsoWrite(j job, names []string) job {
	also := map[string]haproxy.Backend{}
	for _, name := range names {
		if !j.scope.Has(name) {
			also[name] = a.memory.domains[name].want
		}
	}
	j.scope = haproxy.Domains(append(names, j.scope.Names()...)...)
	j.want, j.without = j.layout.withRules(withBackends(j.want, also)), j.layout.withRules(withBackends(j.without, also))
	return j
}

// deployed takes over what became of a job, and looks at its domains again: what waited for the file, or the reload, is done in
// the process now.
func (a *Agent) deployed(ctx context.Context, r result) {
	now := time.Now()
	a.deployer.busy = nil
	a.cfg.Observe(FilePass, r.took)
	if r.reloaded {
		a.memory.startCooldowns(r.options)
	}
	if r.reloaded || r.unloaded != nil {
		a.alarms.reload, a.alarms.splayed = now.Add(a.cfg.ReloadInterval), false
	}
	if r.err == nil {
		a.logRefused(r.refused)
	}
	a.memory.takeResult(r)
	a.memory.reloadsFrom(a.alarms.reload)
	if r.err != nil {
		a.alarms.retry.wait = min(max(2*a.alarms.retry.wait, retryFirst), retryLast)
		a.alarms.retry.at = now.Add(a.alarms.retry.wait)
		if errors.Is(r.err, haproxy.ErrConflict) {
			a.alarms.retry = retry{}
			a.alarms.whole = now
		}
	} else {
		a.alarms.retry = retry{}
		if r.reloaded {
			a.alarms.whole = now.Add(readBack)
		}
	}
	a.lookAgain(r)
	a.setFileAlarm()
	if r.reloaded {
		a.memory.worker = "" // until its domains have been looked at
		a.alarms.loaded, a.alarms.outdated = map[string]haproxy.Backend{}, r.worker
		for _, name := range r.late {
			if !a.deployer.beside[name] {
				a.alarms.loaded[name], _ = backendOf(r.loaded, name)
			}
		}
		a.seeAgain(ctx)
	}
	a.recordJob(r)
}

// seeAgain takes note of who HAProxy is after a reload.
func (a *Agent) seeAgain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, partialPatience)
	defer cancel()
	if seen, err := a.cfg.Process.Identity(ctx); err == nil { // else the next look finds out
		a.memory.seen = seen
	}
}

// lookAgain notes the domains that a pass is due for after a job.
func (a *Agent) lookAgain(r result) {
	again := a.alarms.again
	for name, d := range a.memory.domains {
		if d.lags() || r.reloaded || d.refused != nil && r.scope.Has(name) {
			again[name] = true
		}
	}
	if r.reloaded {
		for key := range a.memory.overrides {
			again[key.Domain()] = true
		}
	}
}

// writeAll writes what the process has and the file does not, and waits for that.
func (a *Agent) writeAll() {
	if a.deployer.busy != nil {
		a.deployed(context.Background(), <-a.deployer.results)
	}
	a.alarms.retry, a.alarms.file = retry{}, time.Now()
	a.startJob(nil)
	if a.deployer.busy != nil {
		a.deployed(context.Background(), <-a.deployer.results)
	}
}
