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

// A standing is what stays for a while, such as a problem: it is logged when it comes, and when it goes.
type condition struct{ name, detail string }

// standings are those of a kind that were logged.
type conditionLog struct {
	level                  slog.Level
	began, ended           string // what is logged
	nameField, detailField string // the fields: what the name is of, and what is said of it
	last                   []condition
	since                  map[string]time.Time // by name
}

// loggedAtOnce bounds the lines of one pass: who writes one bad key can write thousands.
const loggedAtOnce = 10

// told is what an agent has logged, and is still so.
type conditionLogs struct{ problems, pending, overrides, draining, held conditionLog }

func newConditionLogs() conditionLogs {
	return conditionLogs{
		problems:  conditionLog{level: slog.LevelWarn, began: "problem", ended: "no problem any more", nameField: "key", detailField: "reason"},
		pending:   conditionLog{began: "pending", ended: "pending no more", nameField: "host", detailField: "reason"},
		overrides: conditionLog{level: slog.LevelWarn, began: "override", ended: "no override any more", nameField: "server", detailField: "reason"},
		draining:  conditionLog{began: "draining", ended: "drained", nameField: "server", detailField: "reason"},
		held:      conditionLog{level: slog.LevelWarn, began: "held", ended: "held no more", nameField: "reason"},
	}
}

// compare logs what has come and what has gone since the last time.
func (s *conditionLog) update(log *slog.Logger, now []condition) {
	if slices.Equal(now, s.last) {
		return
	}
	since := make(map[string]time.Time, len(now))
	var come, gone []condition
	for _, n := range now {
		at, known := s.since[n.name]
		if _, twice := since[n.name]; !known && !twice {
			come = append(come, n)
		}
		since[n.name] = cmp.Or(at, time.Now())
	}
	for _, name := range slices.Sorted(maps.Keys(s.since)) {
		if _, there := since[name]; !there {
			gone = append(gone, condition{name: name})
		}
	}
	s.last, s.since = now, since
	s.log(log, s.level, s.began, come)
	s.log(log, slog.LevelInfo, s.ended, gone)
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

// tellStandings logs what has come and gone with a good pass. The caller holds the lock of the status.
func (a *Agent) logConditions() {
	log, s := a.cfg.Logger, &a.status
	var now []condition
	there := map[string]bool{}
	for _, p := range s.Last.Problems {
		now, there[p.Key] = append(now, condition{p.Key, p.Reason}), true
	}
	if a.deployer.busy != nil || len(a.memory.domainsWhere(func(d *domainState) bool { return d.waits == waitsForFile })) > 0 {
		for _, was := range a.logged.problems.last { // what is tried again is a problem until it has come through
			if !there[was.name] {
				now = append(now, was)
			}
		}
	}
	a.logged.problems.update(log, now)
	s.Oldest = a.logged.problems.oldest()
	a.logged.pending.update(log, conditionsOf(s.Last.Pending, pendingCondition))
	a.logged.overrides.update(log, conditionsOf(a.memory.overrides.list(), overrideCondition))
	a.logged.draining.update(log, conditionsOf(a.memory.leaving(), func(k haproxy.ServerKey) condition { return condition{name: k.Domain() + "/" + k.Name} }))
	s.firstSeen.problems, s.firstSeen.pending, s.firstSeen.overrides = a.logged.problems.since, a.logged.pending.since, a.logged.overrides.since
	s.firstSeen.warnings = firstSeenOf(s.firstSeen.warnings, s.Last.Warnings)
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

// An AgedProblem is a problem, by its key, and since when the agent has known of it.
type AgedProblem struct {
	Key   string
	Since time.Time
}

// sinces are since when the agent has known of what stays for a while, by its name. The maps are not written to any more.
type firstSeen struct{ problems, pending, overrides, warnings, waiting map[string]time.Time }

// aged is since when each of some names has been there without a break.
func firstSeenOf(was map[string]time.Time, names []string) map[string]time.Time {
	since := make(map[string]time.Time, len(names))
	for _, name := range names {
		since[name] = cmp.Or(was[name], time.Now())
	}
	return since
}

// ProblemSince is since when the agent has known of a problem with a key; zero where there is none.
func (s Status) ProblemSince(key string) time.Time { return s.firstSeen.problems[key] }

// PendingSince is the same of a host, "a.abc.com/server1", that is half written.
func (s Status) PendingSince(host string) time.Time { return s.firstSeen.pending[host] }

// OverrideSince is the same of a host that an operator has set something of on HAProxy's socket.
func (s Status) OverrideSince(o Override) time.Time {
	return s.firstSeen.overrides[o.Domain+"/"+o.Host]
}

// WarningSince is the same of a warning, by its words.
func (s Status) WarningSince(warning string) time.Time { return s.firstSeen.warnings[warning] }

// WithWarnings is the status with further warnings, and since when they have been known.
func (s Status) WithWarnings(since map[string]time.Time) Status {
	if len(since) == 0 {
		return s
	}
	all := maps.Clone(since)
	maps.Copy(all, s.firstSeen.warnings)
	s.Last.Warnings, s.firstSeen.warnings = slices.Concat(s.Last.Warnings, slices.Sorted(maps.Keys(since))), all
	return s
}

// WaitingSince is the same of a domain of which the process lacks something.
func (s Status) WaitingSince(domain string) time.Time { return s.firstSeen.waiting[domain] }

// keptAges is how many problems have their age told: each is a series for Prometheus.
const keptAges = 20

// oldest are those that have been there for longest.
func (s *conditionLog) oldest() []AgedProblem {
	all := make([]AgedProblem, 0, len(s.since))
	for key, since := range s.since {
		all = append(all, AgedProblem{key, since})
	}
	slices.SortFunc(all, func(a, b AgedProblem) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Key, b.Key)) })
	return slices.Clip(all[:min(len(all), keptAges)])
}
