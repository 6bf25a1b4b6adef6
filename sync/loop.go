package sync

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// alarms are the times at which the loop has something to do without input; the zero time is never.
type alarms struct {
	whole  time.Time // a pass over everything
	resync time.Time // HAProxy is looked at, and the registry listed again
	drains retry     // read the removed servers that the process still has
	held   time.Time // check the domains whose removals are held back
	file   time.Time // write to the file what the process has already
	notes  time.Time // write the revision for the next agent
	reload time.Time // a reload is allowed again
	// splayed is set if reload includes the random delay already.
	splayed     bool
	jobRetry    retry     // the deployer may get the next job: after a failed job, or while changes for a reload are gathered
	gatherSince time.Time // when the gathering for a reload began; zero if there is none
	fails       int       // failed passes in a row
	wholeEnded  time.Time // when the last pass over everything ended
	// trusted is set if the last pass over everything succeeded: then passes over some domains are enough.
	trusted bool
	// surroundings are as of that pass.
	surroundings haproxy.Surroundings
	// recheck are domains that the next pass reads.
	recheck map[string]bool
	// loaded are the domains that needed the last reload, as the file had them, until a pass has read them. Domains that changed in the
	// process during the reload are not among them.
	loaded map[string]haproxy.Backend
	// deferred are domains whose changes in the process did not fit into earlier passes.
	deferred map[string]bool
	// outdated is the worker from before the last reload, which may still answer for a moment; empty once it did.
	outdated string
}

// step makes a pass and starts a job, if they are due.
func (a *Agent) step(ctx context.Context) {
	now := time.Now()
	if !now.Before(a.alarms.resync) {
		a.alarms.resync = now.Add(a.cfg.Resync)
		a.cfg.Follower.Relist()
		a.resync(ctx, now)
	}
	in := a.takeInbox()
	if !in.known {
		a.alarms.whole = time.Time{}
		return
	}
	a.checkRegistry(in)
	if due(a.alarms.notes, now) {
		a.writeNotes()
	}
	a.memory.expire(in.expired, in.snapshot)
	if in.byHand {
		a.memory.retryRefused(true)
		a.alarms.jobRetry, a.alarms.reload, a.alarms.splayed = retry{}, time.Time{}, true // no delay for the operator
	}
	scope, due := a.scope(in, now)
	if due && scope.All() && a.knowsChanges(in) && len(in.changed) > 0 { // they do not wait for everything
		first := in
		first.byHand, in.changed = false, nil
		a.pass(ctx, first, haproxy.Domains(slices.Collect(maps.Keys(first.changed))...))
		due = !a.alarms.wholeEnded.After(now)
	}
	if due {
		a.pass(ctx, in, scope)
	}
	a.startJob(nil)
}

// knowsChanges reports whether a pass over the changed domains is enough to be in line with the registry.
func (a *Agent) knowsChanges(in inbox) bool {
	return !in.all && a.alarms.trusted && a.memory.otherRegistry == nil && len(in.changed) <= maxPartial
}

// scope returns the scope of the pass that is due; not ok if none is.
func (a *Agent) scope(in inbox, now time.Time) (scope haproxy.Scope, ok bool) {
	whole := due(a.alarms.whole, now)
	if whole || in.byHand || !a.knowsChanges(in) {
		if whole {
			return haproxy.Everything(), true
		}
		if soon := a.alarms.wholeEnded.Add(minRetry); in.fresh && a.alarms.fails > 0 && !in.byHand && now.Before(soon) {
			a.alarms.whole = soon
			return scope, false
		}
		return haproxy.Everything(), in.fresh
	}
	names := slices.Concat(slices.Collect(maps.Keys(in.changed)), slices.Collect(maps.Keys(a.alarms.recheck)), a.takeDeferred())
	a.alarms.recheck = map[string]bool{}
	drains, held := due(a.alarms.drains.at, now), due(a.alarms.held, now)
	deploys := a.deployer.busy == nil && a.mayDeploy(now)
	names = append(names, a.memory.domainsWhere(func(d *domainState) bool {
		return drains && d.isDraining() || held && d.isHeld() || due(d.retryAt(), now) || due(d.cooldownEnds(), now) ||
			deploys && a.isDeployable(d, now)
	})...)
	return haproxy.Domains(names...), in.fresh || len(names) > 0
}

// takeDeferred takes the first of the deferred domains.
func (a *Agent) takeDeferred() []string {
	names := slices.Sorted(maps.Keys(a.alarms.deferred))
	names = names[:min(len(names), maxDeferred)]
	for _, name := range names {
		delete(a.alarms.deferred, name)
	}
	return names
}

// isDeployable reports whether a domain waits for a job that the deployer may do now.
func (a *Agent) isDeployable(d *domainState, now time.Time) bool {
	switch d.waits {
	case waitsForReload:
		return !now.Before(a.alarms.reload) || !sameBackend(d.want, d.file)
	case waitsForFile:
		return !d.isUnwritten()
	}
	return false
}

// mayDeploy reports whether the deployer may get a job; after a failed one there is a pause.
func (a *Agent) mayDeploy(now time.Time) bool { return !now.Before(a.alarms.jobRetry.at) }

// due reports whether a time has come; the zero time never does.
func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// next returns when the loop has something to do without input.
func (a *Agent) next() time.Time {
	next := a.alarms.resync
	sooner := func(at time.Time) {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	sooner(a.alarms.whole)
	if !a.alarms.trusted {
		return next
	}
	if len(a.alarms.recheck)+len(a.alarms.deferred) > 0 {
		sooner(time.Now())
	}
	sooner(a.alarms.drains.at)
	sooner(a.alarms.held)
	sooner(a.alarms.notes)
	for _, d := range a.memory.domains {
		sooner(d.retryAt())
		sooner(d.cooldownEnds())
		switch {
		case a.deployer.busy != nil:
		case d.waits == waitsForReload && sameBackend(d.want, d.file):
			sooner(later(a.alarms.reload, a.alarms.jobRetry.at))
		case d.waits == waitsForReload, d.waits == waitsForFile && !d.isUnwritten():
			sooner(a.alarms.jobRetry.at)
		}
	}
	if a.deployer.busy == nil && !a.alarms.file.IsZero() {
		sooner(later(a.alarms.file, a.alarms.jobRetry.at))
	}
	return next
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pass makes a pass over a scope. If that fails, or HAProxy has changed, it makes one over everything at once.
func (a *Agent) pass(ctx context.Context, in inbox, scope haproxy.Scope) {
	defer a.cfg.Begin()()
	start := time.Now()
	a.memory.unapplied.join(in.changed)
	p := a.newPass(in, scope)
	err := p.apply(ctx)
	if !scope.All() && (err != nil || p.state.Down != nil || a.haproxyChanged(p.state.Identity())) {
		if err != nil && p.state.Worker == "" {
			a.noteFailure(err)
		}
		made := p.accepted()
		p = a.newPass(in, haproxy.Everything())
		p.made = made
		err = p.apply(ctx)
	}
	a.deployer.noteChanges(p.made)
	a.looks.note(p)
	if p.scope.All() {
		a.afterWholePass(ctx, p, err)
		if p.state.NoWrite != nil {
			p.report.Warnings = append(p.report.Warnings, "the next change of the file will fail: "+p.state.NoWrite.Error())
		}
	}
	if err == nil {
		a.noteUselessReload(p)
		before := a.memory.total
		a.memory.take(p, a.deployer.busy)
		a.measure(p)
		a.afterPass(p, in)
		a.recheckOverLimit(before)
	}
	p.report.By = p.by(in)
	took := time.Since(start)
	kind := QuickPass
	if p.scope.All() {
		kind = WholePass
	}
	a.cfg.Observe(kind, took)
	a.record(in, p, err, took)
	if err == nil {
		a.saveNotes()
		a.startJob(p)
	}
}

// noteUselessReload finds domains that still need the reload that was made for them. It is not made again soon.
func (a *Agent) noteUselessReload(p *pass) {
	if len(a.alarms.loaded) > 0 && p.state.Worker == a.alarms.outdated {
		a.alarms.outdated, a.alarms.whole = "", time.Now().Add(readBackDelay)
		for _, c := range p.made {
			delete(a.alarms.loaded, c.Domain())
		}
		return
	}
	useless := map[string]refusal{}
	for name, loaded := range a.alarms.loaded {
		want, _ := backendOf(p.want.file, name)
		if !slices.Contains(p.report.Plan.needReload, name) || !p.scope.Has(name) || !sameBackend(want, loaded) {
			continue // it needs no reload, or one for a newer change
		}
		asked, _ := backendOf(p.asked, name)
		useless[name] = refusal{want: asked, file: want, reload: true, useless: true, reason: uselessReason}
	}
	a.alarms.loaded = nil
	if len(useless) == 0 {
		return
	}
	a.memory.refuse(useless)
	was := p.report
	p.compare(p.state)
	p.report.leaving, p.report.Refused, p.report.Drift = was.leaving, was.Refused, was.Drift
}

// uselessReason is the reason of a refusal for a reload that did not help.
const uselessReason = "the reload was made, and HAProxy has not loaded the change (was it started with the managed file? hapsync check tells)"

// by returns what the pass was made for. A pass over some domains always comes from the registry, at once or later.
func (p *pass) by(in inbox) Asker {
	switch {
	case in.byHand:
		return ByHand
	case p.report.Drift > 0 && len(in.changed) == 0:
		return ByDrift
	case !p.scope.All() || len(in.changed) > 0:
		return ByWatch
	}
	return ByResync
}

func (a *Agent) newPass(in inbox, scope haproxy.Scope) *pass {
	p := &pass{cfg: a.passConfig(), memory: a.memory, scope: scope, snapshot: in.snapshot}
	if scope.All() {
		a.memory.retryRefused(false)
		p.counts = countSnapshot(in.snapshot)
	} else {
		p.counts = a.memory.counts.update(in.snapshot, scope.Names())
	}
	p.report = newReport(p.counts)
	return p
}

// haproxyChanged reports whether HAProxy's worker or its files are not as the agent left them. A job may change both.
func (a *Agent) haproxyChanged(identity haproxy.Identity) bool {
	if a.deployer.busy != nil {
		identity.Digest = a.memory.identity.Digest
		if a.deployer.busy.reload {
			identity.Worker = a.memory.identity.Worker
		}
	}
	return identity != a.memory.identity
}

// afterWholePass sets when the next pass over everything is due, and whether passes over some domains are enough until then.
func (a *Agent) afterWholePass(ctx context.Context, p *pass, err error) {
	now := time.Now()
	a.alarms.wholeEnded, a.alarms.trusted, a.alarms.whole, a.memory.worker = now, false, time.Time{}, ""
	a.alarms.recheck = map[string]bool{}
	clear(a.alarms.deferred)
	switch _, held := errors.AsType[*HeldError](err); {
	case held:
		a.alarms.fails = 0
		a.alarms.whole = now.Add(heldPoll) // an operator may have confirmed it
	case err != nil:
		a.alarms.whole = now.Add(min(minRetry<<min(a.alarms.fails, 10), maxRetry))
		a.alarms.fails++
	case p.state.Down != nil:
		a.alarms.fails = 0
		a.alarms.whole = now.Add(minRetry)
	default:
		a.alarms.fails, a.alarms.trusted = 0, true
		a.memory.otherRegistry, a.memory.worker = nil, p.state.Worker
	}
	if err == nil {
		a.memory.identity, a.alarms.surroundings = p.state.Identity(), p.state.Surroundings()
	} else {
		ctx, cancel := context.WithTimeout(ctx, partialTimeout)
		defer cancel()
		a.memory.identity, _ = a.cfg.Process.Identity(ctx)
	}
}

// afterPass sets the alarms for what a successful pass has left to do.
func (a *Agent) afterPass(p *pass, in inbox) {
	if reloading := a.deployer.busy != nil && a.deployer.busy.reload; a.alarms.trusted && !reloading {
		a.memory.worker = p.state.Worker // during a reload, a new worker may lack changes: its domains are read after the reload
	}
	a.setFileAlarm()
	maps.Copy(a.alarms.deferred, p.deferred)
	if a.deployer.busy == nil && !a.memory.hasDomainWhere(func(d *domainState) bool { return d.waits == waitsForReload }) {
		a.alarms.splayed = false
	}
	switch now := time.Now(); {
	case !a.memory.held():
		a.alarms.held = time.Time{}
	case a.alarms.held.IsZero() || due(a.alarms.held, now):
		a.alarms.held = now.Add(heldPoll)
	}
	a.setDrainAlarm(len(p.outcome.Draining) > 0, len(in.changed) > 0)
}

// setDrainAlarm sets when the removed servers are read again: soon after the first removal, then with growing pauses.
func (a *Agent) setDrainAlarm(draining, changed bool) {
	alarm, now := &a.alarms.drains, time.Now()
	switch {
	case !a.memory.hasDomainWhere((*domainState).isDraining):
		*alarm = retry{}
		return
	case !changed && due(alarm.at, now):
		alarm.wait = min(alarm.wait*2, maxDrainPoll)
	case alarm.at.IsZero() || draining && changed:
		alarm.wait = drainPoll
	default:
		return
	}
	alarm.at = now.Add(alarm.wait)
}

// recheckOverLimit checks again what the limits leave out, if the registry asks for less than before.
func (a *Agent) recheckOverLimit(before amount) {
	if now := a.memory.total; now.domains >= before.domains && now.descriptors >= before.descriptors {
		return
	}
	over := a.memory.domainsWhere(func(d *domainState) bool { return d.limited != "" })
	if len(over) > maxPartial {
		a.alarms.whole = time.Now()
		return
	}
	for _, name := range over {
		a.alarms.recheck[name] = true
	}
}
