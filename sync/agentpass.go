package sync

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// step does what is due.
func (a *Agent) step(ctx context.Context) {
	now := time.Now()
	if !now.Before(a.resyncAt) {
		a.resyncAt = now.Add(a.cfg.Resync)
		a.cfg.Follower.Relist()
		a.wholeAt = now
	}
	in := a.take()
	if !in.known {
		a.wholeAt = time.Time{}
		return
	}
	if a.past.other == nil {
		a.past.other = sameRegistry(a.past.confirmed, in.snapshot)
	}
	a.past.expired(in.expired, in.snapshot)
	if in.asked {
		a.refused = retry{}
	}
	if a.mayBeQuick(in, now) {
		if !in.news && !due(a.drains.at, now) || a.quick(ctx, in) {
			a.maybeFile(ctx, now)
			return
		}
	} else if !due(a.wholeAt, now) {
		if !in.news {
			return
		}
		if soon := a.wholeEnd.Add(retryFirst); a.failures > 0 && !in.asked && now.Before(soon) {
			a.wholeAt = soon
			return
		}
	}
	a.whole(ctx, in)
}

// mayBeQuick reports whether some domains are all that there is to look at.
func (a *Agent) mayBeQuick(in inbox, now time.Time) bool {
	return a.quickly && !in.all && !due(a.wholeAt, now) && len(in.changed) <= maxQuick && a.past.other == nil
}

// due reports whether a time has come; the zero time never does.
func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func (a *Agent) maybeFile(ctx context.Context, now time.Time) {
	if a.file.done != nil || !due(a.file.at, now) {
		return
	}
	if err := a.startFiling(ctx); err != nil {
		a.wholeAt = now // which says why
	}
}

// next is when something is due.
func (a *Agent) next() time.Time {
	next := a.resyncAt
	sooner := func(at time.Time) {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	sooner(a.wholeAt)
	if a.quickly {
		sooner(a.drains.at)
	}
	if a.quickly && a.file.done == nil {
		sooner(a.file.at)
	}
	return next
}

// quick makes a quick pass over what changed and what is unfinished; it reports false where a whole one must follow at
// once, which tells what is wrong.
func (a *Agent) quick(ctx context.Context, in inbox) bool {
	start, overridden := time.Now(), len(a.past.overrides)
	p, domains, err := a.quickPass(ctx, in, start)
	if err != nil && p.state.Worker == "" {
		a.note(err)
	}
	if err != nil || a.disturbed(p.state) || p.report.Plan.structural() || len(p.report.Refused) > 0 {
		return false
	}
	a.pend(p, domains)
	a.servers -= a.past.removals(p.report.leaving, 0).first
	a.past.departures.take(p.report.leaving, p.want, start)
	a.past.confirmed, a.past.tally = in.snapshot, p.tally
	for _, act := range p.report.Plan.Actions {
		if _, add := act.Change.(haproxy.AddServer); add && act.Via == ViaRuntime {
			a.servers++
		}
	}
	again := a.finish(domains, p.report.unfinished, len(in.changed) > 0)
	took := time.Since(start)
	a.cfg.Observe(QuickPass, took)
	if p.report.Plan = p.report.Plan.live(); again {
		p.report.Plan = Plan{} // it has been told
	}
	a.log(p.report, nil, took)
	a.recordQuick(in, p.report, took)
	if overridden != len(a.past.overrides) {
		a.keep()
	}
	return true
}

// quickPass goes ahead with what changed, or else looks at that and at what is unfinished. domains are those of the pass.
func (a *Agent) quickPass(ctx context.Context, in inbox, now time.Time) (p *pass, domains []string, err error) {
	err = a.locked(in.snapshot, func(s *Syncer) (err error) {
		var made []haproxy.Change
		if domains = slices.Sorted(maps.Keys(in.changed)); len(domains) > 0 && !due(a.drains.at, now) {
			if p, made = s.ahead(ctx, in.snapshot, domains, a.cfg.Recaller); p != nil {
				return nil
			}
		}
		looked := maps.Clone(a.past.unfinished)
		maps.Copy(looked, in.changed)
		domains = slices.Sorted(maps.Keys(looked))
		p, err = s.quick(ctx, in.snapshot, domains, a.servers)
		p.report.Plan = p.report.Plan.after(made)
		return err
	})
	if p == nil {
		p = &pass{}
	}
	return p, domains, err
}

// disturbed reports whether HAProxy is another one than a moment ago, or its file.
func (a *Agent) disturbed(st haproxy.State) bool {
	seen := sightOf(st)
	if a.file.done != nil {
		seen.digest = a.seen.digest
	}
	return seen != a.seen
}

// finish remembers which of the domains that were looked at are unfinished, and when to look at those again: later and
// later where it is for nothing. It reports whether the same ones are unfinished as before.
func (a *Agent) finish(looked, unfinished []string, changed bool) (again bool) {
	left := maps.Clone(a.past.unfinished)
	maps.DeleteFunc(left, func(name string, _ bool) bool { return slices.Contains(looked, name) })
	others := len(left) > 0 // are looked at when it is due
	for _, name := range unfinished {
		left[name] = true
	}
	again = !changed && len(left) > 0 && maps.Equal(left, a.past.unfinished)
	clear(a.past.unfinished)
	maps.Copy(a.past.unfinished, left)
	switch {
	case len(left) == 0:
		a.drains = retry{}
		return again
	case others:
		return again
	case again:
		a.drains.wait = min(a.drains.wait*2, drainPollLast)
	default:
		a.drains.wait = drainPoll
	}
	a.drains.at = time.Now().Add(a.drains.wait)
	return again
}

// whole makes a pass over everything.
func (a *Agent) whole(ctx context.Context, in inbox) {
	a.awaitFiling()
	start := time.Now()
	p := &pass{}
	err := a.locked(in.snapshot, func(s *Syncer) (err error) {
		p, err = s.sync(ctx)
		return err
	})
	if p.report.Reloaded {
		a.reloadAt = time.Now().Add(a.cfg.ReloadInterval)
	}
	a.wholeEnd = time.Now()
	took := a.wholeEnd.Sub(start)
	a.cfg.Observe(WholePass, took)
	a.seen, _ = a.look(ctx)
	a.settle(in.snapshot, p, err)
	a.log(p.report, err, took)
	a.record(in, p.report, err, took)
	if err == nil {
		a.keep()
	}
	a.wholeAt = a.after(p.report, err)
}

// settle draws the conclusions from a whole pass for the following ones.
func (a *Agent) settle(snapshot registry.Snapshot, p *pass, err error) {
	a.quickly, a.past.inLine = false, ""
	var refusal *haproxy.ReloadError
	if errors.As(err, &refusal) {
		a.refused.wait = min(max(2*a.refused.wait, retryFirst), refusedLast)
		a.refused.at, a.refusal = time.Now().Add(a.refused.wait), refusal.Error()
	}
	if err != nil {
		return
	}
	a.refused, a.past.tally = retry{}, p.tally
	a.servers = 0
	for _, b := range p.want.Backends {
		a.servers += len(b.Servers)
	}
	a.past.departures.take(p.report.leaving, p.want, time.Now())
	clear(a.past.pending)
	a.file.at = time.Time{}
	if p.report.Down != nil {
		return
	}
	a.quickly, a.postponed = true, p.report.Postponed
	a.finish(slices.Collect(maps.Keys(a.past.unfinished)), p.report.unfinished, true)
	if a.postponed {
		return
	}
	a.past.confirmed, a.past.other, a.past.left = snapshot, nil, p.left
	clear(a.past.dead)
	a.past.overrides.keep(p.want)
	if !p.quarantined {
		a.past.inLine = a.seen.worker
	}
}

// locked runs a pass as the only writer.
func (a *Agent) locked(snapshot registry.Snapshot, pass func(*Syncer) error) error {
	if err := a.lock.hold(); err != nil {
		return err
	}
	syncer, err := a.syncer(snapshot)
	if err == nil {
		err = pass(syncer)
	}
	return errors.Join(err, a.lock.release())
}

// after is when a whole pass is due after one: soon where something is still to do, later and later where passes fail;
// zero where nothing is.
func (a *Agent) after(report Report, err error) time.Time {
	now := time.Now()
	var held *HeldError
	if err != nil && !errors.As(err, &held) {
		wait := retryFirst << min(a.failures, 10)
		a.failures++
		if now.Before(a.refused.at) {
			return a.refused.at
		}
		return now.Add(min(wait, retryLast))
	}
	a.failures = 0
	switch {
	case held != nil:
		return now.Add(heldPoll) // somebody may have confirmed it
	case report.Postponed:
		return a.reloadAt
	case report.Down != nil:
		return now.Add(retryFirst)
	}
	return time.Time{}
}

// log writes one line for a pass that did something, or failed.
func (a *Agent) log(report Report, err error, took time.Duration) {
	plan := report.Plan
	attrs := []any{
		"revision", report.Revision, "runtime", len(plan.changes(ViaRuntime)), "transaction", len(plan.changes(ViaTransaction)),
		"rewrite", len(plan.changes(ViaRewrite)), "reload", plan.Reload, "took", took.Round(time.Microsecond),
	}
	if report.Drift > 0 {
		attrs = append(attrs, "drift", report.Drift)
	}
	var held *HeldError
	switch {
	case errors.As(err, &held):
		if held.Reason != a.hold {
			a.cfg.Logger.Warn("held, nothing is touched", "revision", report.Revision, "reason", held.Reason)
		}
	case err != nil:
		a.cfg.Logger.Error("the pass failed", append(attrs, "error", err)...)
	case report.Down != nil && text(report.Down) == a.down && plan.Empty():
	case report.Down != nil:
		a.cfg.Logger.Error("haproxy does not answer", append(attrs, "error", report.Down)...)
	case !plan.Empty() && !report.Postponed:
		a.cfg.Logger.Info("synced", attrs...)
	}
	a.hold, a.down = report.Held, text(report.Down)
}
