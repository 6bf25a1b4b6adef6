package sync

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// record takes a pass into the status, and logs what it did in the process. What waits for the file is recorded with the job.
func (a *Agent) record(in inbox, p *pass, err error, took time.Duration) {
	report := p.report
	if err == nil {
		waits := report.Plan.waiting(p.state)
		report.Plan, p.report.Plan = report.Plan.split(func(act Action) bool {
			return act.Via == ViaRuntime && !waits[act.Change.Domain()]
		})
		report.Applied = p.report.Plan.Empty()
	}
	deferred := err == nil && !p.report.Plan.Empty() // to a job
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.status
	s.Down = text(report.Down)
	held := a.recordHeld(&report, p, err)
	if err == nil { // a change that is tried again stays a problem until HAProxy has accepted it
		report.remembered = a.memory.leftOut(s.prefix, haproxy.Domains(), nil)
		report.addProblems(report.remembered)
		a.forgetFailure(p)
	}
	if s.Failed = cmp.Or(s.jobFailed, a.memory.reloadRefusal()); err != nil && !held {
		s.Failed = text(err)
	}
	if !p.scope.All() { // which does not read these
		report.Warnings, report.OldWorkers = s.Last.Warnings, s.Last.OldWorkers
		others := slices.DeleteFunc(slices.Clone(s.Last.Agents), func(o Override) bool { return p.scope.Has(o.Domain) })
		report.Agents = append(others, report.Agents...)
	}
	report.Draining = len(a.memory.leaving())
	a.logProcess(&report, p, err, deferred, took)
	report.Postponed = a.memory.hasDomainWhere((*domainState).isPostponed)
	s.Last = report
	if report.Version != (haproxy.Version{}) {
		s.HAProxy = report.Version
	}
	if err != nil || !deferred && (in.fresh || p.scope.All()) || !report.Plan.Empty() {
		s.count(report, err, held)
		p.report.Drift = 0 // the job does not count it again
	}
	if err == nil {
		a.updateProgress(p.snapshot)
		a.logConditions()
	}
	s.Overrides = a.memory.overrides.list()
	s.Reasons = s.reasons(in.known)
	if err != nil || report.Down != nil || !s.AppliedAt.IsZero() { // else the next pass follows at once
		a.notify()
	}
}

// recordHeld takes into the status what the safeguards hold back, and logs it. It reports whether they hold back the whole pass.
func (a *Agent) recordHeld(report *Report, p *pass, err error) bool {
	s := &a.status
	if err == nil && report.Held == "" && !p.scope.All() && a.memory.held() {
		report.Held = s.Last.Held // of domains outside the scope
	}
	held, all := errors.AsType[*HeldError](err)
	if all {
		report.Held = held.Reason
	}
	s.Held = report.Held
	a.logHeld(err)
	s.hold(p, err)
	return all
}

// logProcess logs what the pass did in the process. A job says it if HAProxy does not answer.
func (a *Agent) logProcess(report *Report, p *pass, err error, deferred bool, took time.Duration) {
	if errors.Is(err, context.Canceled) { // the agent ends: log what the pass has changed
		if made := p.accepted(); len(made) > 0 {
			report.Plan, err = Plan{}.withMade(made), nil
		}
	}
	report.Plan = a.unlogged(p, report.Plan)
	if !deferred || report.Down == nil {
		a.logPass(*report, err, took)
	}
}

// forgetFailure forgets the failure of a job if nothing of the job is left to do.
func (a *Agent) forgetFailure(p *pass) {
	switch {
	case a.status.jobFailed == "" || a.deployer.busy != nil || a.memory.hasDomainWhere((*domainState).waitsForDeployer):
	case !p.scope.All():
		a.alarms.whole = time.Now()
	case !p.report.Plan.EditsFile() && len(p.report.Plan.Reload) == 0:
		a.status.jobFailed = ""
	}
}

// recordJob takes the result of a job into the status, and logs it.
func (a *Agent) recordJob(r result) {
	err := r.err
	if err == nil && r.reloadError != nil && !r.reloaded {
		err = r.reloadError
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.status
	s.jobFailed = text(err)
	s.Failed = cmp.Or(s.jobFailed, a.memory.reloadRefusal())
	if r.report != nil {
		a.recordReport(r, err)
	} else {
		a.recordWritten(r, err)
	}
	s.Reasons = s.reasons(a.inbox.known)
	if err != nil || !s.AppliedAt.IsZero() { // else the pass over the domains of the job follows at once
		a.notify()
	}
}

// recordWritten records a job that wrote what the process had already.
func (a *Agent) recordWritten(r result, err error) {
	s := &a.status
	report := Report{Revision: a.memory.confirmed.Revision, By: ByWatch, Plan: Plan{Actions: r.changes}}
	if r.rewrite != "" {
		report.Plan = report.Plan.rewritten(r.rewrite)
	}
	if err != nil {
		a.logPass(report, err, r.took)
		s.Counts.Passes++
		s.Counts.FailedPasses++
		return
	}
	s.Counts.FileChanges += len(r.changes)
	s.Last.Problems = slices.DeleteFunc(slices.Clone(s.Last.Problems), func(p registry.Problem) bool {
		return slices.Contains(s.Last.remembered, p)
	})
	s.Last.remembered = a.memory.leftOut(s.prefix, haproxy.Domains(), nil)
	s.Last.addProblems(s.Last.remembered)
	a.updateProgress(a.memory.confirmed)
	a.logConditions()
	a.cfg.Logger.Info("filed", "revision", s.Filed, "changes", len(r.changes), "took", r.took.Round(time.Microsecond))
	if e := report.Entry(nil, r.took); !e.Empty() {
		a.cfg.Journal(e) // the passes of the status have the changes already, from the process
	}
}

// recordReport records a job that a pass asked for.
func (a *Agent) recordReport(r result, err error) {
	s := &a.status
	report := *r.report
	if r.rewrite != "" && report.Plan.Rewrite == "" {
		report.Plan = report.Plan.rewritten(r.rewrite)
	}
	if len(r.refused) > 0 {
		done := r.changes
		if r.err != nil {
			done = nil
		}
		report.Plan = report.Plan.withoutRefused(r.refused, done)
		if r.err == nil && r.digest == r.base {
			report.Plan.Rewrite = "" // it was only for what was refused
		}
		report.addProblems(a.memory.leftOut(s.prefix, haproxy.Domains(), nil))
	}
	report.Reloaded = r.reloaded
	report.Postponed = !r.reload && len(report.Plan.Reload) > 0
	report.Applied = err == nil
	if r.reloaded {
		report.Down, s.Down = nil, ""
	}
	report.Draining, report.Agents = len(a.memory.leaving()), s.Last.Agents
	if !r.scope.All() { // as in record
		report.Warnings, report.OldWorkers = s.Last.Warnings, s.Last.OldWorkers
	}
	if report.Postponed {
		report.Plan.Reload = nil
	}
	filed := report
	_, filed.Plan = report.Plan.split(func(act Action) bool { return act.Via == ViaRuntime }) // logged with the passes
	a.logPass(filed, err, r.took)
	s.Last = report
	s.count(report, err, false)
	if err == nil {
		a.updateProgress(a.memory.confirmed)
		a.logConditions()
	}
}

// noteFailure takes into the status that HAProxy does not answer, before the pass that says more.
func (a *Agent) noteFailure(err error) {
	if err == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status.Failed = text(err)
	a.status.Reasons = a.status.reasons(a.inbox.known)
	a.notify()
}

// updateProgress takes into the status which revisions the process and the file have.
func (a *Agent) updateProgress(snapshot registry.Snapshot) {
	s := &a.status
	if a.memory.otherRegistry != nil || a.inbox.switched.Revision > 0 {
		return // the snapshot is that of another registry than the one that the status tells of
	}
	if !a.fileLags() {
		s.Filed = snapshot.Revision
	}
	if s.Down != "" {
		return // it is not known what the process has
	}
	reached := a.memory.applied()
	if reached == a.memory.reached || reached.revision > s.Applied {
		s.Applied, s.Has, s.AppliedAt = reached.revision, reached.changed, time.Now()
	}
	s.apply(reached.revision)
	s.pending = a.memory.counts.pending
	s.reached, s.lacking = a.memory.reached.changed, a.memory.domainsWhere((*domainState).lags)
	s.firstSeen.waiting = firstSeenOf(s.firstSeen.waiting, s.lacking)
	leaving := slices.Concat(a.memory.counts.drained, a.memory.leaving())
	slices.SortFunc(leaving, byServerKey)
	s.leaving = slices.Compact(leaving)
}

// fileLags reports whether something still has to be written to the file.
func (a *Agent) fileLags() bool {
	return a.deployer.busy != nil || a.memory.hasDomainWhere(func(d *domainState) bool { return d.waits == waitsForFile })
}
