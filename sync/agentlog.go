package sync

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// logPass logs what a pass did, and keeps it in the status and in the journal. The caller holds the lock of the status.
func (a *Agent) logPass(report Report, err error, took time.Duration) {
	if errors.Is(err, context.Canceled) {
		return // the agent ends
	}
	e := report.Entry(err, took, a.memory.leaving()...)
	a.logSummary(report, e, err)
	s, failed := &a.status, cmp.Or(e.Error, e.Held)
	repeated := failed == s.lastFailure
	if err != nil && repeated || err == nil && report.Plan.Empty() && (repeated || failed == "") {
		return
	}
	s.lastFailure = failed
	s.Passes = append([]Entry{e.First(loggedChanges)}, s.Passes[:min(len(s.Passes), keptPasses-1)]...)
	a.cfg.Journal(e)
}

// unlogged is a plan of the process with only what is done and not logged yet. It has no changes that HAProxy refused, no removals of
// backends that are still there, and no removals of servers that were logged before and still drain.
func (a *Agent) unlogged(p *pass, plan Plan) Plan {
	leaving := a.memory.leaving()
	_, rest := plan.split(func(act Action) bool {
		if slices.ContainsFunc(p.outcome.Refused, func(f haproxy.Failure) bool { return f.Change == act.Change }) {
			return true
		}
		if slices.ContainsFunc(p.outcome.Staying, func(c haproxy.RemoveBackend) bool { return c == act.Change }) {
			return true
		}
		logged := has(a.logged.draining.since, act.Change.Domain()+"/"+act.Change.Key().Name)
		_, drains := slices.BinarySearchFunc(leaving, act.Change.Key(), byServerKey)
		return removes(act.Change) && logged && drains
	})
	return rest
}

// logHeld logs when a safeguard begins and ceases to hold something back. The caller holds the lock of the status.
func (a *Agent) logHeld(err error) {
	if _, held := errors.AsType[*HeldError](err); err != nil && !held {
		return
	}
	var now []condition
	if a.status.Held != "" {
		now = []condition{{name: a.status.Held}}
	}
	a.logged.held.update(a.cfg.Logger, now)
}

// logSummary writes a line for each change of a pass, and one for the pass if it did something or failed.
func (a *Agent) logSummary(report Report, e Entry, err error) {
	took := time.Duration(e.Seconds * float64(time.Second)).Round(time.Microsecond)
	attrs := []any{
		"revision", e.Revision, "by", e.By, "runtime", e.Counts[ViaRuntime], "transaction", e.Counts[ViaTransaction],
		"rewrite", e.Counts[ViaRewrite], "reload", e.Reload, "took", took,
	}
	if report.Drift > 0 {
		attrs = append(attrs, "drift", report.Drift)
	}
	_, held := errors.AsType[*HeldError](err)
	last := a.status.Last
	switch {
	case held: // a condition: logHeld logs it
	case err != nil:
		a.cfg.Logger.Error("the pass failed", append(attrs, "error", err)...)
	case report.Down != nil && text(report.Down) == text(last.Down) && report.Plan.Empty():
	case report.Down != nil:
		a.cfg.Logger.Error("haproxy does not answer", append(attrs, "error", report.Down)...)
	case !report.Plan.Empty():
		a.logChanges(e, took)
		a.cfg.Logger.Info("synced", attrs...)
	}
}

// logChanges logs a line for each of the first changes.
func (a *Agent) logChanges(e Entry, took time.Duration) {
	messages := map[haproxy.Op]string{haproxy.OpAdd: "added", haproxy.OpSet: "changed", haproxy.OpRemove: "removed"}
	shown := e.First(loggedChanges)
	for _, c := range shown.Changes {
		attrs := []any{string(c.Object), c.Path()}
		if c.Have != "" {
			attrs = append(attrs, "have", c.Have)
		}
		if c.Want != "" {
			attrs = append(attrs, "want", c.Want)
		}
		a.cfg.Logger.Info(messages[c.Op], append(attrs, "via", c.Via, "took", took, "revision", e.Revision)...)
	}
	if shown.More > 0 {
		a.cfg.Logger.Info("and more changes: hapsync history shows them", "more", shown.More, "revision", e.Revision)
	}
}

// logRefused logs HAProxy's full words about domains if they are new. The status has only an outline of them.
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
