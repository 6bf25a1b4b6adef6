package sync

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// record writes the result of a look to the status, and logs what is new.
func (s *Shadow) record(p *pass, err error, events []shadowEvent, took time.Duration) {
	report, ways := p.report, viasOf(p.report.Plan)
	var held *HeldError
	if errors.As(err, &held) {
		report.Held = held.Reason
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.status
	st.Last, st.Down, st.Held = report, text(report.Down), report.Held
	failed := text(err)
	if held != nil {
		failed = ""
	} else if err != nil && failed != st.Failed {
		s.log.Error("the look failed", "error", err)
	}
	if st.Failed = failed; report.Down != nil {
		st.Failed = ""
	}
	st.hold(p, err)
	st.count(Report{}, err, held != nil)
	if report.Version != (haproxy.Version{}) {
		st.HAProxy = report.Version
	}
	if err == nil {
		s.logStandings(report)
		st.Overrides = s.memory.overrides.list()
		if report.Plan.Empty() && report.Down == nil && report.Held == "" {
			st.Applied, st.Filed, st.Has, st.AppliedAt = p.snapshot.Revision, p.snapshot.Revision, p.snapshot.Changed, time.Now()
		}
	}
	st.apply(st.Seen) // nothing waits for a shadow
	var holds []condition
	if report.Held != "" || held != nil {
		holds = []condition{{name: report.Held}}
	}
	s.logged.held.update(s.log, holds)
	st.Shadow = s.shadowStatus(ways)
	s.logEvents(p, ways, events, took)
	st.Reasons = st.reasons(true)
	s.notify()
}

// logStandings logs which problems, pending hosts and overrides have come and gone. The caller holds s.mu.
func (s *Shadow) logStandings(report Report) {
	var problems []condition
	for _, p := range report.Problems {
		problems = append(problems, condition{p.Key, p.Reason})
	}
	s.logged.problems.update(s.log, problems)
	s.status.Oldest = s.logged.problems.oldest()
	s.logged.pending.update(s.log, conditionsOf(report.Pending, pendingCondition))
	s.logged.overrides.update(s.log, conditionsOf(s.memory.overrides.list(), overrideCondition))
	since := &s.status.firstSeen
	since.problems, since.pending, since.overrides = s.logged.problems.since, s.logged.pending.since, s.logged.overrides.since
	since.warnings = firstSeenOf(since.warnings, report.Warnings)
}

// shadowStatus returns what the comparison has found so far.
func (s *Shadow) shadowStatus(ways viaOf) *ShadowStatus {
	c := s.comparison
	st := &ShadowStatus{Agreed: c.agreed, Differed: c.differed, Acted: c.acted}
	for _, d := range c.pending {
		change := entryChange(Action{ways.of(d.change), d.change}, nil)
		st.Changes = append(st.Changes, ShadowChange{change, d.asked, d.since, d.state, d.why})
	}
	slices.SortFunc(st.Changes, func(a, b ShadowChange) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Object, b.Object),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.Op, b.Op))
	})
	return st
}

// logEvents logs the events, and keeps an entry for each kind of them. The caller holds s.mu.
func (s *Shadow) logEvents(p *pass, ways viaOf, events []shadowEvent, took time.Duration) {
	for _, kind := range []ShadowVerdict{WouldMake, Agreed, NotAnswered, Differs, DiffersNoMore} {
		var of []difference
		for _, e := range events {
			if e.kind == kind {
				of = append(of, e.difference)
			}
		}
		if len(of) == 0 {
			continue
		}
		e := Entry{
			At: time.Now(), Seconds: took.Seconds(), Revision: p.snapshot.Revision, By: ByWatch, Shadow: kind,
			Reload: []string{}, Counts: map[Via]int{}, Changes: []EntryChange{},
		}
		if kind == WouldMake {
			e.Reload = slices.Clone(p.report.Plan.Reload)
		}
		for i, d := range of {
			c := entryChange(Action{ways.of(d.change), d.change}, nil)
			e.Counts[c.Via]++
			if i >= maxChanges {
				e.More++
				continue
			}
			e.Changes = append(e.Changes, c)
			if i < loggedChanges {
				s.logChange(kind, c, d)
			}
		}
		if more := len(of) - loggedChanges; more > 0 {
			s.log.Info("and more changes: the page shows them", "more", more, "shadow", string(kind))
		}
		s.status.Passes = append([]Entry{e.First(loggedChanges)}, s.status.Passes[:min(len(s.status.Passes), keptPasses-1)]...)
		s.cfg.Journal(e)
	}
}

// logChange logs one change of an event.
func (s *Shadow) logChange(kind ShadowVerdict, c EntryChange, d difference) {
	message, level := "", slog.LevelInfo
	switch kind {
	case WouldMake:
		message = map[haproxy.Op]string{haproxy.OpAdd: "would add", haproxy.OpSet: "would change", haproxy.OpRemove: "would remove"}[c.Op]
	case Agreed:
		message = "made the same change"
	case NotAnswered:
		message = "not answered"
	case Differs:
		message, level = "differs", slog.LevelWarn
	case DiffersNoMore:
		message = "no longer differs"
	}
	attrs := []any{string(c.Object), c.Path()}
	for _, field := range [][2]string{{"have", c.Have}, {"want", c.Want}} {
		if field[1] != "" {
			attrs = append(attrs, field[0], field[1])
		}
	}
	attrs = append(attrs, "via", c.Via, "revision", d.asked)
	if kind != WouldMake {
		attrs = append(attrs, "after", time.Since(d.since).Round(time.Millisecond))
	}
	if d.why != "" {
		attrs = append(attrs, "reason", d.why)
	}
	s.log.Log(context.Background(), level, message, attrs...)
}
