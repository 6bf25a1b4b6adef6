package sync

import (
	"errors"
	"maps"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// Status is the state of an agent, as of its last pass.
type Status struct {
	// Reasons say why the agent is not ready, one a line. It is empty, and the agent ready, if a pass has succeeded, the registry and
	// HAProxy can be reached, nothing is held, and nothing takes long.
	Reasons []string
	// Seen is the last revision of the registry that the agent knows, Applied the one that HAProxy's process has, Filed that of its file.
	Seen, Applied, Filed registry.Revision
	// Heard is the last change below the prefix that the agent knows, Has the last one that the process has. Unlike Seen and Applied they
	// stay if nothing changes there.
	Heard, Has registry.Revision
	// HAProxy is the version of the process; zero if it has not been read yet.
	HAProxy haproxy.Version
	// AppliedAt is when Applied was set last; zero before the first successful pass.
	AppliedAt time.Time
	// Behind is when the agent heard of the oldest change that is not applied, to a second; zero if there is none.
	Behind time.Time
	// Lost says why the registry cannot be followed, Down why HAProxy does not answer, Held what a safeguard holds back, Failed why
	// the last pass failed; empty if nothing is wrong.
	Lost, Down, Held, Failed string
	// HeldPlan is what would be done if Held were confirmed, and HeldSince when the hold began; zero if nothing is held.
	HeldPlan  Plan
	HeldSince time.Time
	// Waiting is what takes long right now; zero if nothing does.
	Waiting haproxy.Wait
	// Overrides are sorted by domain and host.
	Overrides []Override
	// Last is the report of the last pass.
	Last Report
	// Counts only grow.
	Counts Counts
	// Passes are the last ones that did something or failed, newest first, at most 20, each with its first changes.
	Passes []Entry
	// Oldest are the problems that have been there for longest, at most 20, the oldest first.
	Oldest []AgedProblem

	// Shadow is what a Shadow has found; nil for an agent.
	Shadow *ShadowStatus

	reached     registry.Revision   // the last change that a pass has applied, except in the domains of lacking
	lacking     []string            // the domains of which the process lacks something, sorted
	pending     []string            // the half-written hosts, as in Report, as of Has
	prefix      string              // of the registry; empty if it has not been read yet
	jobFailed   string              // why the deployer's last job failed; empty if it did not
	leaving     []haproxy.ServerKey // the servers that should lose their sessions, sorted
	firstSeen   firstSeen
	unapplied   []hearing // oldest first
	lastFailure string    // why the last entry failed, or was held
}

// Counts count what an agent did.
type Counts struct {
	Passes, FailedPasses, HeldPasses          int
	RuntimeChanges, FileChanges, FileRewrites int
	// Reloads are those that the registry asked for, by cause. Drift counts changes that undid changes made by hand.
	Reloads map[ReloadCause]int
	Drift   int
}

const keptPasses = 20

// Ready reports whether the agent is ready.
func (s Status) Ready() bool { return len(s.Reasons) == 0 }

// RegistryUp reports whether the registry can be followed; false before it was read.
func (s Status) RegistryUp() bool { return s.Lost == "" && s.Seen > 0 }

// HAProxyUp reports whether HAProxy answers; false before the first pass.
func (s Status) HAProxyUp() bool { return s.Down == "" && s.Counts.Passes > 0 }

// Lag is how long something has been waiting to be applied; 0 if nothing is.
func (s Status) Lag() time.Duration {
	if s.Behind.IsZero() {
		return 0
	}
	return time.Since(s.Behind)
}

// A hearing is what was heard of the registry within a second: from when, and the last revision.
type hearing struct {
	at       time.Time
	revision registry.Revision
}

// maxHearings bounds what is kept if one domain waits for long: the oldest hearing stays exact.
const maxHearings = 600

// hear records a revision that is not applied yet.
func (s *Status) hear(revision registry.Revision) {
	now, last := time.Now(), len(s.unapplied)-1
	if last >= 0 && (now.Sub(s.unapplied[last].at) < time.Second || last >= maxHearings) {
		s.unapplied[last].revision = revision
	} else {
		s.unapplied = append(s.unapplied, hearing{now, revision})
	}
	s.Behind = s.unapplied[0].at
}

// apply records that all changes up to a revision are applied.
func (s *Status) apply(revision registry.Revision) {
	for len(s.unapplied) > 0 && (s.unapplied[0].revision <= revision || s.unapplied[0].revision > s.Seen) { // or of another registry
		s.unapplied = s.unapplied[1:]
	}
	s.Behind = time.Time{}
	if len(s.unapplied) > 0 {
		s.Behind = s.unapplied[0].at
	}
}

// Leaving are the servers without new clients: those of hosts in drain or maint, and removed ones that the process still has. They are
// sorted, and read-only.
func (s Status) Leaving() []haproxy.ServerKey { return s.leaving }

// Late are the domains of which the process lacks something, or may lack it after a reload. They are sorted, and read-only.
func (s Status) Late() []string { return s.lacking }

const notRead = "the registry has not been read yet"

// hold takes into the status what a safeguard holds back after a pass.
func (s *Status) hold(p *pass, err error) {
	if s.Held == "" {
		s.HeldPlan, s.HeldSince = Plan{}, time.Time{}
		return
	}
	if s.HeldSince.IsZero() {
		s.HeldSince = time.Now()
	}
	if _, all := errors.AsType[*HeldError](err); all {
		s.HeldPlan = p.report.Plan
		return
	}
	held, _ := p.planWithHeld.split(func(a Action) bool { return len(p.held[a.Change.Domain()]) > 0 })
	if !p.scope.All() {
		others, _ := s.HeldPlan.split(func(a Action) bool { return !p.scope.Has(a.Change.Domain()) })
		held.Actions = append(others.Actions, held.Actions...)
	}
	s.HeldPlan = held
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

// text is what the status says of an error.
func text(err error) string { return haproxy.Brief(err) }
