package sync

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/registry"
)

// log writes one line for a pass that did something, or failed. The caller holds the lock of the status.
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
	last := a.status.Last
	if err == nil && report.Held != "" && report.Held != last.Held {
		a.cfg.Logger.Warn("removals are held back", "revision", report.Revision, "reason", report.Held)
	}
	switch {
	case errors.As(err, &held):
		if held.Reason != last.Held {
			a.cfg.Logger.Warn("held, nothing is touched", "revision", report.Revision, "reason", held.Reason)
		}
	case err != nil:
		a.cfg.Logger.Error("the pass failed", append(attrs, "error", err)...)
	case report.Down != nil && text(report.Down) == text(last.Down) && plan.Empty():
	case report.Down != nil:
		a.cfg.Logger.Error("haproxy does not answer", append(attrs, "error", report.Down)...)
	case !plan.Empty() && !report.Postponed:
		a.cfg.Logger.Info("synced", attrs...)
	}
}

// logRefused logs HAProxy's words about domains, where they are new: the status has only their outline.
func (a *Agent) logRefused(refused map[string]refusal) {
	logged := 0
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		d := a.memory.domains[name]
		if d != nil && d.refused != nil && d.refused.words == refused[name].words {
			continue
		}
		if logged++; logged <= loggedAtOnce {
			a.cfg.Logger.Warn("haproxy refuses a domain", "domain", name, "haproxy", refused[name].words)
		}
	}
}

// A problemLog has the keys of the problems that were logged and are still there.
type problemLog map[string]bool

// loggedAtOnce bounds the lines of one pass: who writes one bad key can write thousands.
const loggedAtOnce = 10

// logProblems logs a line for each problem that is new, and for each that has ended. The caller holds the lock of the status.
func (a *Agent) logProblems() {
	s := &a.status
	if s.logged == nil {
		s.logged = problemLog{}
	}
	var begun []registry.Problem
	there := make(problemLog, len(s.Last.Problems))
	for _, p := range s.Last.Problems {
		there[p.Key] = true
		if !s.logged[p.Key] {
			begun = append(begun, p)
			s.logged[p.Key] = true
		}
	}
	for i, p := range begun {
		if i == loggedAtOnce {
			a.cfg.Logger.Warn("more problems are new: hapsync status shows them", "more", len(begun)-i)
			break
		}
		a.cfg.Logger.Warn("problem", "key", p.Key, "reason", p.Reason)
	}
	if len(a.memory.names(func(d *domainState) bool { return d.waits == waitsForFile })) > 0 || a.deployer.busy != nil {
		return // what is tried again is no problem until it is refused again
	}
	ended := 0
	for key := range s.logged {
		if there[key] {
			continue
		}
		delete(s.logged, key)
		if ended++; ended <= loggedAtOnce {
			a.cfg.Logger.Info("no problem any more", "key", key)
		}
	}
}
