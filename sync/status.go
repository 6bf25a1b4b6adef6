package sync

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// Status is how an agent is, as of its last pass.
type Status struct {
	// Reasons say why the agent is not ready, one a line; empty means ready: a good pass was made, registry and
	// HAProxy can be reached, nothing is held, and nothing takes long.
	Reasons []string
	// Seen is the registry's revision that was last heard of, Applied the one that HAProxy's process was last brought in
	// line with, and Filed its file.
	Seen, Applied, Filed registry.Revision
	// Heard and Has are the last change below the prefix that was heard of, and that the process has: other than Seen and
	// Applied they stay where nothing changes.
	Heard, Has registry.Revision
	// HAProxy is the version of the process; zero where it has not been read yet.
	HAProxy haproxy.Version
	// AppliedAt is when the process was; zero before the first good pass.
	AppliedAt time.Time
	// Behind is since when there has been something that is not applied; zero where nothing is.
	Behind time.Time
	// Lost says why the registry cannot be followed, Down why HAProxy does not answer, Held what a safeguard holds
	// back, Failed why the last pass failed; empty where nothing is wrong.
	Lost, Down, Held, Failed string
	// HeldPlan is what would be done if Held were confirmed, and HeldSince when the hold began; zero where nothing is held.
	HeldPlan  Plan
	HeldSince time.Time
	// Waiting is what takes long right now; zero where nothing does.
	Waiting haproxy.Wait
	// Overrides are sorted by domain and host.
	Overrides []Override
	// Last is the report of the last pass.
	Last Report
	// Counts grow for as long as the agent lives.
	Counts Counts
	// Passes are the last ones that did something or failed, newest first, at most 20, each with its first changes.
	Passes []Entry
	// Oldest are the problems that have been there for longest, at most 20, the oldest first.
	Oldest []AgedProblem

	// Shadow is what a Shadow has found; nil for an agent.
	Shadow *ShadowStatus

	// reached is the last change that was dealt with, but for the domains that wait.
	reached   registry.Revision
	waiting   []string
	prefix    string              // the registry's; empty where it has not been read yet
	jobFailed string              // why the deployer's last job failed; empty where it did not
	leaving   []haproxy.ServerKey // servers that are to have no sessions any more; sorted
	since     sinces
	noted     string // what the last entry failed with, or was held for
}

// Counts count what an agent did.
type Counts struct {
	Passes, FailedPasses, HeldPasses          int
	RuntimeChanges, FileChanges, FileRewrites int
	// Reloads are those for the registry's sake, by what asked for them; Drift counts changes that undid what was done by hand.
	Reloads map[ReloadCause]int
	Drift   int
}

const keptPasses = 20

// Ready reports whether the agent is ready.
func (s Status) Ready() bool { return len(s.Reasons) == 0 }

// RegistryUp is false before anything is known of the registry.
func (s Status) RegistryUp() bool { return s.Lost == "" && s.Seen > 0 }

// HAProxyUp is false before anything is known of HAProxy.
func (s Status) HAProxyUp() bool { return s.Down == "" && s.Counts.Passes > 0 }

// Lag is for how long something has been waiting to be applied; 0 where nothing is.
func (s Status) Lag() time.Duration {
	if s.Behind.IsZero() {
		return 0
	}
	return time.Since(s.Behind)
}

// Leaving are the servers that get no new clients: those of hosts in drain or maint, and removed ones that are still there; sorted.
// The caller does not write to them.
func (s Status) Leaving() []haproxy.ServerKey { return s.leaving }

// Late are the domains of which the process lacks something, or may lack it after the reload that is at work, sorted. The caller does not
// write to them.
func (s Status) Late() []string { return s.waiting }

const notRead = "the registry has not been read yet"

// record takes a pass into the status, and logs it: what it did in the process; what waits for the file is reported with that.
func (a *Agent) record(in inbox, p *pass, err error, took time.Duration) {
	report := p.report
	if err == nil {
		waits := p.report.Plan.waiting(p.state)
		report.Plan, p.report.Plan = p.report.Plan.split(func(act Action) bool {
			return act.Via == ViaRuntime && !waits[act.Change.Domain()]
		})
		report.Applied = p.report.Plan.Empty()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.status
	if err == nil && report.Held == "" && !p.scope.All() && a.memory.held() {
		report.Held = s.Last.Held // of other domains
	}
	s.Down, s.Held = text(report.Down), report.Held
	var held *HeldError
	if errors.As(err, &held) {
		report.Held, s.Held = held.Reason, held.Reason
	}
	a.tellHeld(err)
	s.hold(p, err)
	if err == nil { // what is tried again stays a problem until HAProxy has taken it
		report.remembered = a.memory.leftOut(s.prefix, haproxy.Domains(), nil)
		report.addProblems(report.remembered)
		a.forgetFailure(p)
	}
	s.Failed = cmp.Or(a.failure(err), s.jobFailed, a.memory.unloaded())
	if !p.scope.All() { // which does not look
		report.Warnings, report.OldWorkers = s.Last.Warnings, s.Last.OldWorkers
		others := slices.DeleteFunc(slices.Clone(s.Last.Agents), func(o Override) bool { return p.scope.Has(o.Domain) })
		report.Agents = append(others, report.Agents...)
	}
	report.Draining = len(a.memory.leaving())
	told := err
	if made := p.taken(); errors.Is(err, context.Canceled) && len(made) > 0 { // the agent ends, and has changed HAProxy
		report.Plan, told = Plan{}.withMade(made), nil
	}
	report.Plan = a.untold(p, report.Plan)
	deferred := err == nil && !p.report.Plan.Empty() // the deployer's report will tell
	if !deferred || report.Down == nil {
		a.tell(report, told, took)
	}
	report.Postponed = a.memory.postponed()
	s.Last = report
	if report.Version != (haproxy.Version{}) {
		s.HAProxy = report.Version
	}
	if err != nil || !deferred && (in.fresh || p.scope.All()) || !report.Plan.Empty() {
		s.count(report, err, held != nil)
	}
	if err == nil {
		a.progress(p.snapshot)
		a.tellStandings()
	}
	s.Overrides = a.memory.overrides.list()
	s.Reasons = s.reasons(in.known)
	if err != nil || report.Down != nil || !s.AppliedAt.IsZero() { // else there is more to come at once
		a.notify()
	}
}

// forgetFailure forgets why a job failed if nothing is left that it was for: the registry has taken it back, or someone else has done it.
func (a *Agent) forgetFailure(p *pass) {
	waits := func(d *domainState) bool { return d.waits == waitsForFile || d.waits == waitsForReload }
	switch {
	case a.status.jobFailed == "" || a.deployer.busy != nil || len(a.memory.names(waits)) > 0:
	case !p.scope.All():
		a.alarms.whole = time.Now()
	case !p.report.Plan.EditsFile() && len(p.report.Plan.Reload) == 0:
		a.status.jobFailed = ""
	}
}

// failure is why a pass failed; empty where it did not, or was held.
func (a *Agent) failure(err error) string {
	var held *HeldError
	if errors.As(err, &held) {
		return ""
	}
	return text(err)
}

// recordJob takes what the deployer did into the status, and logs it.
func (a *Agent) recordJob(r result) {
	err := r.err
	if err == nil && r.unloaded != nil && !r.reloaded {
		err = r.unloaded
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.status
	s.jobFailed = text(err)
	s.Failed = cmp.Or(s.jobFailed, a.memory.unloaded())
	if r.report != nil {
		a.recordReport(r, err)
	} else {
		a.recordWritten(r, err)
	}
	s.Reasons = s.reasons(a.inbox.known)
	if err != nil || !s.AppliedAt.IsZero() { // else the pass over its domains says more
		a.notify()
	}
}

// recordWritten takes note of a job that wrote what the process had already.
func (a *Agent) recordWritten(r result, err error) {
	s := &a.status
	report := Report{Revision: a.memory.confirmed.Revision, By: ByWatch, Plan: Plan{Actions: r.changes}}
	if r.rewrite != "" {
		report.Plan = report.Plan.rewritten(r.rewrite)
	}
	if err != nil {
		a.tell(report, err, r.took)
		s.Counts.Passes++
		s.Counts.FailedPasses++
		return
	}
	s.Counts.FileChanges += len(r.changes)
	s.Last.Problems = slices.DeleteFunc(slices.Clone(s.Last.Problems), func(p registry.Problem) bool { return slices.Contains(s.Last.remembered, p) })
	s.Last.remembered = a.memory.leftOut(s.prefix, haproxy.Domains(), nil)
	s.Last.addProblems(s.Last.remembered)
	a.progress(a.memory.confirmed)
	a.tellStandings()
	a.cfg.Logger.Info("filed", "revision", s.Filed, "changes", len(r.changes), "took", r.took.Round(time.Microsecond))
	if e := report.Entry(nil, r.took); !e.Empty() {
		a.cfg.Journal(e) // the status has the changes already: the process got them
	}
}

// recordReport takes note of a job that a pass asked for.
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
			report.Plan.Rewrite = "" // all that it is for was refused
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
	if !r.scope.All() { // which does not look
		report.Warnings, report.OldWorkers = s.Last.Warnings, s.Last.OldWorkers
	}
	if report.Postponed {
		report.Plan.Reload = nil
	}
	filed := report
	_, filed.Plan = report.Plan.split(func(act Action) bool { return act.Via == ViaRuntime }) // the process's own passes tell of those
	a.tell(filed, err, r.took)
	s.Last = report
	s.count(report, err, false)
	if err == nil {
		a.progress(a.memory.confirmed)
		a.tellStandings()
	}
}

// noteFailure takes into the status, ahead of the pass that will say more, that HAProxy gives no answer.
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

// progress takes note of how far HAProxy has got: the process as far as no domain lacks anything, the file as far as it lags.
func (a *Agent) progress(snapshot registry.Snapshot) {
	s := &a.status
	if len(a.memory.names(func(d *domainState) bool { return d.waits == waitsForFile })) == 0 && a.deployer.busy == nil {
		s.Filed = snapshot.Revision
	}
	if s.Down != "" {
		return // what the process has is not known
	}
	reached := a.memory.applied()
	if reached == a.memory.reached || reached.revision > s.Applied {
		s.Applied, s.Has, s.AppliedAt = reached.revision, reached.changed, time.Now()
	}
	if a.inbox.snapshot.Revision == reached.revision {
		s.Behind = time.Time{}
	}
	s.reached, s.waiting = a.memory.reached.changed, a.memory.names((*domainState).lags)
	s.since.waiting = aged(s.since.waiting, s.waiting)
	s.leaving = slices.SortedFunc(slices.Values(slices.Concat(a.memory.tally.drained, a.memory.leaving())), byServerKey)
	s.leaving = slices.Compact(s.leaving)
}

func (s *Status) count(report Report, err error, held bool) {
	c := &s.Counts
	c.Passes++
	switch {
	case held:
		c.HeldPasses++
		return
	case err != nil:
		c.FailedPasses++
		return
	}
	c.RuntimeChanges += len(report.Plan.changes(ViaRuntime))
	c.FileChanges += len(report.Plan.changes(ViaTransaction)) + len(report.Plan.changes(ViaRewrite))
	c.Drift += report.Drift
	if report.Plan.Rewrite != "" {
		c.FileRewrites++
	}
	if report.Reloaded {
		reloads := map[ReloadCause]int{}
		maps.Copy(reloads, c.Reloads)
		reloads[report.cause()]++
		c.Reloads = reloads
	}
}

func (s *Status) reasons(known bool) []string {
	var reasons []string
	add := func(what, why string) {
		if why != "" {
			reasons = append(reasons, what+": "+why)
		}
	}
	if !known {
		reasons = append(reasons, notRead)
	} else if s.AppliedAt.IsZero() && s.Shadow == nil {
		reasons = append(reasons, "no good pass has been made yet")
	}
	add("registry", s.Lost)
	add("haproxy", s.Down)
	add("held", s.Held)
	add("the last pass failed", s.Failed)
	return reasons
}

// text is what an error says to those who ask how the agent is.
func text(err error) string { return haproxy.Brief(err) }
