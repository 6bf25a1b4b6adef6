package sync

import (
	"errors"
	"maps"
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
	// Waiting is what takes long right now; zero where nothing does.
	Waiting haproxy.Wait
	// Overrides are sorted by domain and host.
	Overrides []Override
	// Last is the report of the last pass.
	Last Report
	// Counts grow for as long as the agent lives.
	Counts Counts
	// Passes are the last ones that did something or failed, newest first, at most 20.
	Passes []PassRecord

	prefix  string       // the registry's; empty where it has not been read yet
	leaving []serverName // servers that are to have no sessions any more; sorted
}

// Counts count what an agent did.
type Counts struct {
	Passes, FailedPasses, HeldPasses          int
	RuntimeChanges, FileChanges, FileRewrites int
	// Reloads are those for the registry's sake, by what asked for them; Drift counts changes that undid what somebody did.
	Reloads map[ReloadCause]int
	Drift   int
}

// A PassRecord is what is remembered of a pass.
type PassRecord struct {
	At       time.Time
	Took     time.Duration
	Revision registry.Revision
	Summary  string
	Reload   []string
	Error    string
}

const keptPasses = 20

// Ready reports whether the agent is ready.
func (s Status) Ready() bool { return len(s.Reasons) == 0 }

// Lag is for how long something has been waiting to be applied; 0 where nothing is.
func (s Status) Lag() time.Duration {
	if s.Behind.IsZero() {
		return 0
	}
	return time.Since(s.Behind)
}

// Status says how the agent is. It may be called at any time, from any goroutine.
func (a *Agent) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	s.Passes = append([]PassRecord(nil), s.Passes...)
	s.Reasons = append([]string(nil), s.Reasons...)
	if wait, long := a.cfg.Waiter.Waiting(); long {
		s.Waiting = wait
		s.Reasons = append([]string{"waiting for " + wait.String()}, s.Reasons...)
	}
	return s
}

const notRead = "the registry has not been read yet"

// record takes a whole pass into the status.
func (a *Agent) record(in inbox, report Report, err error, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.status
	s.Down, s.Held, s.Failed = text(report.Down), "", text(err)
	var held *HeldError
	if errors.As(err, &held) {
		s.Held, s.Failed = held.Reason, ""
	}
	s.Last = report
	if report.Version != (haproxy.Version{}) {
		s.HAProxy = report.Version
	}
	s.count(report, err, held != nil)
	s.remember(report, err, took)
	if err == nil {
		s.Filed = report.Revision
		if report.Down == nil && !report.Postponed {
			a.applied(in.snapshot)
		}
		s.leaving = report.toFinish()
	}
	s.Overrides = a.past.overrides.list()
	s.Reasons = s.reasons(in.known)
	a.tell()
}

// recordQuick takes a quick pass into the status.
func (a *Agent) recordQuick(in inbox, report Report, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.status
	report.Warnings, report.OldWorkers = s.Last.Warnings, s.Last.OldWorkers // a quick pass does not look
	s.Last = report
	s.Counts.Passes++
	s.Counts.RuntimeChanges += len(report.Plan.changes(ViaRuntime))
	s.remember(report, nil, took)
	if !a.postponed {
		a.applied(in.snapshot)
	}
	if a.file.at.IsZero() && a.file.done == nil {
		s.Filed = report.Revision
	}
	s.leaving = report.toFinish()
	s.Overrides = a.past.overrides.list()
	a.tell()
}

// note takes into the status, ahead of the pass that will say more, that HAProxy gives no answer.
func (a *Agent) note(err error) {
	if err == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status.Failed = text(err)
	a.status.Reasons = a.status.reasons(a.inbox.known)
	a.tell()
}

// applied takes note that the process has what the registry said.
func (a *Agent) applied(snapshot registry.Snapshot) {
	a.status.Applied, a.status.Has, a.status.AppliedAt = snapshot.Revision, snapshot.Changed, time.Now()
	if a.inbox.snapshot.Revision == snapshot.Revision {
		a.status.Behind = time.Time{}
	}
}

// recordFiled takes note that the file has what the process has of some domains.
func (a *Agent) recordFiled(revision registry.Revision, domains int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status.Filed = revision
	a.status.Counts.FileChanges += domains
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

func (s *Status) remember(report Report, err error, took time.Duration) {
	if report.Plan.Empty() && err == nil {
		return
	}
	if len(s.Passes) > 0 && err != nil && s.Passes[0].Error == err.Error() {
		return // the same again
	}
	p := PassRecord{time.Now(), took, report.Revision, report.Plan.summary(), report.Plan.Reload, text(err)}
	s.Passes = append([]PassRecord{p}, s.Passes[:min(len(s.Passes), keptPasses-1)]...)
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
	} else if s.AppliedAt.IsZero() {
		reasons = append(reasons, "no good pass has been made yet")
	}
	add("registry", s.Lost)
	add("haproxy", s.Down)
	add("held", s.Held)
	add("the last pass failed", s.Failed)
	return reasons
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
