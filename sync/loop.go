package sync

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// alarms are when the loop has something to do although nothing came in; zero is never.
type alarms struct {
	whole  time.Time // a pass over everything
	resync time.Time // the same, and the registry is listed again
	drains retry     // a look at removed servers that are still there
	held   time.Time // a look at domains whose removals are held back
	file   time.Time // the file is to get what the process has already
	reload time.Time // a reload is allowed again
	// splayed is set where reload has the agent's splay in it: the reload that waits is made then.
	splayed bool
	retry   retry     // after a job that failed, or when more is gathered for a reload, the deployer gets another one
	gather  time.Time // since when more is gathered for a reload; zero where none is
	fails   int       // passes in a row that failed
	ended   time.Time // when the last pass over everything did
	// trusted is set where the last pass over everything was a good one: then passes over some domains will do.
	trusted bool
	// again are domains that are to be looked at now; loaded are those that the last reload was for, as it had the file, until they have
	// been. Those of which the process got a change during the reload are not among them.
	again  map[string]bool
	loaded map[string]haproxy.Backend
	// left are domains with changes in the process that passes have left to the next ones, which take some of them each.
	left map[string]bool
	// outdated is the process that served before that reload: it may answer for a moment after it. Empty once it did.
	outdated string
}

// step does what is due.
func (a *Agent) step(ctx context.Context) {
	now := time.Now()
	if !now.Before(a.alarms.resync) {
		a.alarms.resync = now.Add(a.cfg.Resync)
		a.cfg.Follower.Relist()
		a.alarms.whole = now
	}
	in := a.open()
	if !in.known {
		a.alarms.whole = time.Time{}
		return
	}
	if a.memory.other == nil {
		a.memory.other = sameRegistry(a.memory.confirmed, in.snapshot)
	}
	a.memory.expire(in.expired, in.snapshot)
	if in.asked {
		a.memory.retryRefused(true)
		a.alarms.retry, a.alarms.reload, a.alarms.splayed = retry{}, time.Time{}, true // without delay
	}
	scope, due := a.scope(in, now)
	if due {
		a.pass(ctx, in, scope)
	}
	a.startJob(nil)
}

// scope is what a pass is due for.
func (a *Agent) scope(in inbox, now time.Time) (scope haproxy.Scope, ok bool) {
	if !a.alarms.trusted || in.all || due(a.alarms.whole, now) || len(in.changed) > maxPartial || a.memory.other != nil {
		if due(a.alarms.whole, now) {
			return haproxy.Everything(), true
		}
		if soon := a.alarms.ended.Add(retryFirst); in.fresh && a.alarms.fails > 0 && !in.asked && now.Before(soon) {
			a.alarms.whole = soon
			return scope, false
		}
		return haproxy.Everything(), in.fresh
	}
	names := slices.Concat(slices.Collect(maps.Keys(in.changed)), slices.Collect(maps.Keys(a.alarms.again)))
	clear(a.alarms.again)
	names = append(names, a.turn()...)
	if due(a.alarms.drains.at, now) {
		names = append(names, a.memory.names(func(d *domainState) bool { return len(d.leaving) > 0 })...)
	}
	if due(a.alarms.held, now) {
		names = append(names, a.memory.names((*domainState).isHeld)...)
	}
	names = append(names, a.memory.names(func(d *domainState) bool {
		return d.refused != nil && !d.refused.retrying && due(d.refused.retry.at, now)
	})...)
	names = append(names, a.memory.names(func(d *domainState) bool { return d.cooldown.key != "" && due(d.cooldown.until, now) })...)
	if a.deployer.busy == nil && a.mayDeploy(now) {
		names = append(names, a.memory.names(func(d *domainState) bool { return a.ripe(d, now) })...)
	}
	return haproxy.Domains(names...), in.fresh || len(names) > 0
}

// turn are some of the domains with changes that were left, whose turn it is now.
func (a *Agent) turn() []string {
	names := slices.Sorted(maps.Keys(a.alarms.left))
	names = names[:min(len(names), maxTurn)]
	for _, name := range names {
		delete(a.alarms.left, name)
	}
	return names
}

// ripe reports whether the deployer is to get a domain that the process waits for now.
func (a *Agent) ripe(d *domainState, now time.Time) bool {
	switch d.waits {
	case waitsForReload:
		return !now.Before(a.alarms.reload) || !sameBackend(d.want, d.file)
	case waitsForFile:
		return d.since != nil
	}
	return false
}

// mayDeploy reports whether the deployer may get a job: after one that failed it is let be for a while.
func (a *Agent) mayDeploy(now time.Time) bool { return !now.Before(a.alarms.retry.at) }

// due reports whether a time has come; the zero time never does.
func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// next is when something is due.
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
	if len(a.alarms.again)+len(a.alarms.left) > 0 {
		sooner(time.Now())
	}
	sooner(a.alarms.drains.at)
	sooner(a.alarms.held)
	for _, d := range a.memory.domains {
		if d.refused != nil && !d.refused.retrying {
			sooner(d.refused.retry.at)
		}
		if d.cooldown.key != "" {
			sooner(d.cooldown.until)
		}
		switch {
		case a.deployer.busy != nil:
		case d.waits == waitsForReload && sameBackend(d.want, d.file):
			sooner(later(a.alarms.reload, a.alarms.retry.at))
		case d.waits == waitsForReload, d.waits == waitsForFile && d.since != nil:
			sooner(a.alarms.retry.at)
		}
	}
	if a.deployer.busy == nil && !a.alarms.file.IsZero() {
		sooner(later(a.alarms.file, a.alarms.retry.at))
	}
	return next
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pass makes a pass over a scope, and one over everything at once where that finds anything amiss.
func (a *Agent) pass(ctx context.Context, in inbox, scope haproxy.Scope) {
	defer a.cfg.Begin()()
	start := time.Now()
	a.memory.coming.join(in.changed)
	p := a.newPass(in, scope)
	err := p.byProcess(ctx)
	if !scope.All() && (err != nil || p.state.Down != nil || a.disturbed(p.state)) {
		if err != nil && p.state.Worker == "" {
			a.noteFailure(err)
		}
		made := p.taken()
		p = a.newPass(in, haproxy.Everything())
		p.made = made
		err = p.byProcess(ctx)
	}
	a.deployer.changed(p.made)
	if p.scope.All() {
		a.settle(ctx, p, err)
		if p.state.NoWrite != nil {
			p.report.Warnings = append(p.report.Warnings, "the next change of the file will fail: "+p.state.NoWrite.Error())
		}
	}
	if err == nil {
		a.noteUseless(p)
		before := a.memory.total
		a.memory.take(p, a.deployer.busy)
		a.measure(p)
		a.afterPass(p, in)
		a.fillRoom(before)
	}
	p.report.By = p.by(in)
	took := time.Since(start)
	a.cfg.Observe(kindOf(p.scope), took)
	a.record(in, p, err, took)
	if err == nil {
		a.persist()
		a.startJob(p)
	}
}

// noteUseless takes note of domains that a reload was made for, and that need one as before: it is not made again soon.
func (a *Agent) noteUseless(p *pass) {
	if len(a.alarms.loaded) > 0 && p.state.Worker == a.alarms.outdated {
		a.alarms.outdated, a.alarms.whole = "", time.Now().Add(readBack)
		for _, c := range p.made {
			delete(a.alarms.loaded, c.Domain())
		}
		return
	}
	useless := map[string]refusal{}
	for name, loaded := range a.alarms.loaded {
		want, _ := backendOf(p.want.file, name)
		if !slices.Contains(p.report.Plan.needReload, name) || !p.scope.Has(name) || !sameBackend(want, loaded) {
			continue // or it needs the next one for something that has come since
		}
		asked, _ := backendOf(p.asked, name)
		useless[name] = refusal{want: asked, file: want, reload: true, useless: true, reason: uselessReload}
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

// uselessReload is why a reload is not made again soon that HAProxy took.
const uselessReload = "the reload was made, and HAProxy has not loaded the change (was it started with the managed file? hapsync check tells)"

// by is what the pass was made for. One over some domains is made because of the registry, at once or later.
func (p *pass) by(in inbox) Asker {
	switch {
	case in.asked:
		return ByHand
	case p.report.Drift > 0 && len(in.changed) == 0:
		return ByDrift
	case !p.scope.All() || len(in.changed) > 0:
		return ByWatch
	}
	return ByResync
}

func kindOf(scope haproxy.Scope) PassKind {
	if scope.All() {
		return WholePass
	}
	return QuickPass
}

func (a *Agent) newPass(in inbox, scope haproxy.Scope) *pass {
	p := &pass{cfg: a.passConfig(), memory: a.memory, scope: scope, snapshot: in.snapshot}
	if scope.All() {
		a.memory.retryRefused(false)
		p.tally = tallyOf(in.snapshot)
	} else {
		p.tally = a.memory.tally.follow(in.snapshot, scope.Names())
	}
	p.report = newReport(p.tally)
	return p
}

// disturbed reports whether HAProxy is another one than before, or its file.
func (a *Agent) disturbed(st haproxy.State) bool {
	seen := st.Identity()
	if a.deployer.busy != nil {
		seen.Digest = a.memory.seen.Digest
		if a.deployer.busy.reload {
			seen.Worker = a.memory.seen.Worker
		}
	}
	return seen != a.memory.seen
}

// settle draws the conclusions from a pass over everything for the following ones.
func (a *Agent) settle(ctx context.Context, p *pass, err error) {
	now := time.Now()
	a.alarms.ended, a.alarms.trusted, a.alarms.whole, a.memory.worker = now, false, time.Time{}, ""
	clear(a.alarms.again)
	clear(a.alarms.left)
	var held *HeldError
	switch {
	case errors.As(err, &held):
		a.alarms.fails = 0
		a.alarms.whole = now.Add(heldPoll) // an operator may have confirmed it
	case err != nil:
		a.alarms.whole = now.Add(min(retryFirst<<min(a.alarms.fails, 10), retryLast))
		a.alarms.fails++
	case p.state.Down != nil:
		a.alarms.fails = 0
		a.alarms.whole = now.Add(retryFirst)
	default:
		a.alarms.fails, a.alarms.trusted = 0, true
		a.memory.other, a.memory.worker = nil, p.state.Worker
	}
	if err == nil {
		a.memory.seen = p.state.Identity()
	} else {
		ctx, cancel := context.WithTimeout(ctx, partialPatience)
		defer cancel()
		a.memory.seen, _ = a.cfg.Process.Identity(ctx)
	}
}

// afterPass sets the alarms for what a good pass has left.
func (a *Agent) afterPass(p *pass, in inbox) {
	if reloading := a.deployer.busy != nil && a.deployer.busy.reload; a.alarms.trusted && !reloading {
		a.memory.worker = p.state.Worker // a new one may have what the file said when the reload began: its domains are looked at after it
	}
	a.setFileAlarm()
	maps.Copy(a.alarms.left, p.left)
	if a.deployer.busy == nil && len(a.memory.names(func(d *domainState) bool { return d.waits == waitsForReload })) == 0 {
		a.alarms.splayed = false
	}
	switch now := time.Now(); {
	case !a.memory.held():
		a.alarms.held = time.Time{}
	case a.alarms.held.IsZero() || due(a.alarms.held, now):
		a.alarms.held = now.Add(heldPoll)
	}
	leaving := a.memory.names(func(d *domainState) bool { return len(d.leaving) > 0 })
	looked := len(in.changed) == 0 && due(a.alarms.drains.at, time.Now())
	switch {
	case len(leaving) == 0:
		a.alarms.drains = retry{}
		return
	case looked:
		a.alarms.drains.wait = min(a.alarms.drains.wait*2, drainPollLast)
	case a.alarms.drains.at.IsZero() || len(p.outcome.Draining) > 0 && len(in.changed) > 0:
		a.alarms.drains.wait = drainPoll
	default:
		return
	}
	a.alarms.drains.at = time.Now().Add(a.alarms.drains.wait)
}

// fillRoom looks again at what the limits leave out, if less is asked for than before.
func (a *Agent) fillRoom(before amount) {
	if now := a.memory.total; now.domains >= before.domains && now.descriptors >= before.descriptors {
		return
	}
	over := a.memory.names(func(d *domainState) bool { return d.limited != "" })
	if len(over) > maxPartial {
		a.alarms.whole = time.Now()
		return
	}
	for _, name := range over {
		a.alarms.again[name] = true
	}
}
