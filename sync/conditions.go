package sync

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// A condition lasts for a while, such as a problem. It is logged when it begins and when it ends.
type condition struct{ name, detail string }

// A conditionLog logs one kind of conditions.
type conditionLog struct {
	level                  slog.Level
	began, ended           string // the messages
	goesOn                 string // instead of both, if a condition takes the place of another one; empty if it never does
	nameField, detailField string
	last                   []condition
	since                  map[string]time.Time // by name
}

// loggedAtOnce bounds the lines of one pass: one bad client of the registry can write thousands of bad keys.
const loggedAtOnce = 10

// conditionLogs are those of an agent.
type conditionLogs struct{ problems, pending, overrides, draining, held conditionLog }

func newConditionLogs() conditionLogs {
	return conditionLogs{
		problems:  conditionLog{level: slog.LevelWarn, began: "problem", ended: "no problem any more", nameField: "key", detailField: "reason"},
		pending:   conditionLog{began: "pending", ended: "pending no more", nameField: "host", detailField: "reason"},
		overrides: conditionLog{level: slog.LevelWarn, began: "override", ended: "no override any more", nameField: "server", detailField: "reason"},
		draining:  conditionLog{began: "draining", ended: "drained", nameField: "server"},
		held:      conditionLog{level: slog.LevelWarn, began: "held", ended: "held no more", goesOn: "still held", nameField: "reason"},
	}
}

// update logs which conditions have begun and ended since the last update.
func (s *conditionLog) update(log *slog.Logger, now []condition) {
	if slices.Equal(now, s.last) {
		return
	}
	since := make(map[string]time.Time, len(now))
	var begun, ended []condition
	for _, n := range now {
		at, known := s.since[n.name]
		if !known && !has(since, n.name) {
			begun = append(begun, n)
		}
		since[n.name] = cmp.Or(at, time.Now())
	}
	for _, name := range slices.Sorted(maps.Keys(s.since)) {
		if !has(since, name) {
			ended = append(ended, condition{name: name})
		}
	}
	s.last, s.since = now, since
	if s.goesOn != "" && len(begun) > 0 && len(ended) > 0 {
		s.log(log, s.level, s.goesOn, begun)
		return
	}
	s.log(log, s.level, s.began, begun)
	s.log(log, slog.LevelInfo, s.ended, ended)
}

func (s *conditionLog) log(log *slog.Logger, level slog.Level, message string, all []condition) {
	for i, n := range all {
		if i == loggedAtOnce {
			log.Log(context.Background(), level, message+": and more, hapsync status shows them", "more", len(all)-i)
			return
		}
		attrs := []any{s.nameField, n.name}
		if n.detail != "" {
			attrs = append(attrs, s.detailField, n.detail)
		}
		log.Log(context.Background(), level, message, attrs...)
	}
}

// logConditions logs which conditions have begun and ended with a successful pass. The caller holds the lock of the status.
func (a *Agent) logConditions() {
	log, s, logs := a.cfg.Logger, &a.status, &a.logged
	var problems []condition
	there := map[string]bool{}
	for _, p := range s.Last.Problems {
		problems, there[p.Key] = append(problems, condition{p.Key, p.Reason}), true
	}
	if a.fileLags() { // a change that is tried again stays a problem until HAProxy has accepted it
		for _, was := range logs.problems.last {
			if !there[was.name] {
				problems = append(problems, was)
			}
		}
	}
	logs.problems.update(log, problems)
	s.Oldest = logs.problems.oldest()
	logs.pending.update(log, conditionsOf(s.Last.Pending, pendingCondition))
	logs.overrides.update(log, conditionsOf(a.memory.overrides.list(), overrideCondition))
	logs.draining.update(log, conditionsOf(a.memory.leaving(), drainingCondition))
	s.firstSeen.problems, s.firstSeen.pending, s.firstSeen.overrides = logs.problems.since, logs.pending.since, logs.overrides.since
	s.firstSeen.warnings = firstSeenOf(s.firstSeen.warnings, s.Last.Warnings)
}

func drainingCondition(k haproxy.ServerKey) condition {
	return condition{name: k.Domain() + "/" + k.Name}
}

func pendingCondition(line string) condition {
	host, missing, _ := strings.Cut(line, ": ")
	return condition{host, missing}
}

func overrideCondition(o Override) condition {
	return condition{o.Domain + "/" + o.Host, o.Live + " on HAProxy's socket, " + o.Registry + " in the registry"}
}

func conditionsOf[T any](all []T, of func(T) condition) []condition {
	out := make([]condition, len(all))
	for i, v := range all {
		out[i] = of(v)
	}
	return out
}

// An AgedProblem is a problem, by its key, and the time at which the agent first saw it.
type AgedProblem struct {
	Key   string
	Since time.Time
}

// firstSeen says when the agent first saw each condition, by name. The maps are never written to again.
type firstSeen struct{ problems, pending, overrides, warnings, waiting map[string]time.Time }

// firstSeenOf says since when each name has been there without a break. was is its last result.
func firstSeenOf(was map[string]time.Time, names []string) map[string]time.Time {
	since := make(map[string]time.Time, len(names))
	for _, name := range names {
		since[name] = cmp.Or(was[name], time.Now())
	}
	return since
}

// ProblemSince is when the agent first saw the problem with a key; zero if there is none.
func (s Status) ProblemSince(key string) time.Time { return s.firstSeen.problems[key] }

// PendingSince is the same for a host, "a.abc.com/server1", that is half written.
func (s Status) PendingSince(host string) time.Time { return s.firstSeen.pending[host] }

// OverrideSince is the same for a host with an override.
func (s Status) OverrideSince(o Override) time.Time {
	return s.firstSeen.overrides[o.Domain+"/"+o.Host]
}

// WarningSince is the same for a warning, by its text.
func (s Status) WarningSince(warning string) time.Time { return s.firstSeen.warnings[warning] }

// WithWarnings is the status with further warnings, and the times at which they were first seen.
func (s Status) WithWarnings(since map[string]time.Time) Status {
	if len(since) == 0 {
		return s
	}
	all := maps.Clone(since)
	maps.Copy(all, s.firstSeen.warnings)
	s.Last.Warnings, s.firstSeen.warnings = slices.Concat(s.Last.Warnings, slices.Sorted(maps.Keys(since))), all
	return s
}

// WaitingSince is the same for a domain of which the process lacks something.
func (s Status) WaitingSince(domain string) time.Time { return s.firstSeen.waiting[domain] }

// keptAges is how many problems show their age: each is a series for Prometheus.
const keptAges = 20

// oldest are the conditions that have been there for longest.
func (s *conditionLog) oldest() []AgedProblem {
	all := make([]AgedProblem, 0, len(s.since))
	for key, since := range s.since {
		all = append(all, AgedProblem{key, since})
	}
	slices.SortFunc(all, func(a, b AgedProblem) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Key, b.Key)) })
	return slices.Clip(all[:min(len(all), keptAges)])
}
