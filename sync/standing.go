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
type standing struct{ name, what string }

// standings are those of a kind that were logged.
type standings struct {
	level       slog.Level
	comes, goes string // what is logged
	of, why     string // the fields: what the name is of, and what is said of it
	last        []standing
	since       map[string]time.Time // by name
}

// loggedAtOnce bounds the lines of one pass: who writes one bad key can write thousands.
const loggedAtOnce = 10

// told is what an agent has logged, and is still so.
type told struct{ problems, pending, overrides, draining, held standings }

func newTold() told {
	return told{
		problems:  standings{level: slog.LevelWarn, comes: "problem", goes: "no problem any more", of: "key", why: "reason"},
		pending:   standings{comes: "pending", goes: "pending no more", of: "host", why: "reason"},
		overrides: standings{level: slog.LevelWarn, comes: "override", goes: "no override any more", of: "server", why: "reason"},
		draining:  standings{comes: "draining", goes: "drained", of: "server", why: "reason"},
		held:      standings{level: slog.LevelWarn, comes: "held", goes: "held no more", of: "reason"},
	}
}

// compare logs what has come and what has gone since the last time.
func (s *standings) compare(log *slog.Logger, now []standing) {
	if slices.Equal(now, s.last) {
		return
	}
	since := make(map[string]time.Time, len(now))
	var come, gone []standing
	for _, n := range now {
		at, known := s.since[n.name]
		if _, twice := since[n.name]; !known && !twice {
			come = append(come, n)
		}
		since[n.name] = cmp.Or(at, time.Now())
	}
	for _, name := range slices.Sorted(maps.Keys(s.since)) {
		if _, there := since[name]; !there {
			gone = append(gone, standing{name: name})
		}
	}
	s.last, s.since = now, since
	s.log(log, s.level, s.comes, come)
	s.log(log, slog.LevelInfo, s.goes, gone)
}

func (s *standings) log(log *slog.Logger, level slog.Level, message string, all []standing) {
	for i, n := range all {
		if i == loggedAtOnce {
			log.Log(context.Background(), level, message+": and more, hapsync status shows them", "more", len(all)-i)
			return
		}
		attrs := []any{s.of, n.name}
		if n.what != "" {
			attrs = append(attrs, s.why, n.what)
		}
		log.Log(context.Background(), level, message, attrs...)
	}
}

// tellStandings logs what has come and gone with a good pass. The caller holds the lock of the status.
func (a *Agent) tellStandings() {
	log, s := a.cfg.Logger, &a.status
	var now []standing
	there := map[string]bool{}
	for _, p := range s.Last.Problems {
		now, there[p.Key] = append(now, standing{p.Key, p.Reason}), true
	}
	if a.deployer.busy != nil || len(a.memory.names(func(d *domainState) bool { return d.waits == waitsForFile })) > 0 {
		for _, was := range a.told.problems.last { // what is tried again is a problem until it has come through
			if !there[was.name] {
				now = append(now, was)
			}
		}
	}
	a.told.problems.compare(log, now)
	s.Oldest = a.told.problems.oldest()
	a.told.pending.compare(log, standingsOf(s.Last.Pending, pendingStanding))
	a.told.overrides.compare(log, standingsOf(a.memory.overrides.list(), overrideStanding))
	a.told.draining.compare(log, standingsOf(a.memory.leaving(), func(k haproxy.ServerKey) standing { return standing{name: k.Domain() + "/" + k.Name} }))
	s.since.problems, s.since.pending, s.since.overrides = a.told.problems.since, a.told.pending.since, a.told.overrides.since
	s.since.warnings = aged(s.since.warnings, s.Last.Warnings)
}

func pendingStanding(line string) standing {
	host, missing, _ := strings.Cut(line, ": ")
	return standing{host, missing}
}

func overrideStanding(o Override) standing {
	return standing{o.Domain + "/" + o.Host, o.Live + " on HAProxy's socket, " + o.Registry + " in the registry"}
}

func standingsOf[T any](all []T, of func(T) standing) []standing {
	out := make([]standing, len(all))
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
type sinces struct{ problems, pending, overrides, warnings, waiting map[string]time.Time }

// aged is since when each of some names has been there without a break.
func aged(was map[string]time.Time, names []string) map[string]time.Time {
	since := make(map[string]time.Time, len(names))
	for _, name := range names {
		since[name] = cmp.Or(was[name], time.Now())
	}
	return since
}

// ProblemSince is since when the agent has known of a problem with a key; zero where there is none.
func (s Status) ProblemSince(key string) time.Time { return s.since.problems[key] }

// PendingSince is the same of a host, "a.abc.com/server1", that is half written.
func (s Status) PendingSince(host string) time.Time { return s.since.pending[host] }

// OverrideSince is the same of a host that an operator has set something of on HAProxy's socket.
func (s Status) OverrideSince(o Override) time.Time { return s.since.overrides[o.Domain+"/"+o.Host] }

// WarningSince is the same of a warning, by its words.
func (s Status) WarningSince(warning string) time.Time { return s.since.warnings[warning] }

// WithWarnings is the status with further warnings, and since when they have been known.
func (s Status) WithWarnings(since map[string]time.Time) Status {
	if len(since) == 0 {
		return s
	}
	all := maps.Clone(since)
	maps.Copy(all, s.since.warnings)
	s.Last.Warnings, s.since.warnings = slices.Concat(s.Last.Warnings, slices.Sorted(maps.Keys(since))), all
	return s
}

// WaitingSince is the same of a domain of which the process lacks something.
func (s Status) WaitingSince(domain string) time.Time { return s.since.waiting[domain] }

// keptAges is how many problems have their age told: each is a series for Prometheus.
const keptAges = 20

// oldest are those that have been there for longest.
func (s *standings) oldest() []AgedProblem {
	all := make([]AgedProblem, 0, len(s.since))
	for key, since := range s.since {
		all = append(all, AgedProblem{key, since})
	}
	slices.SortFunc(all, func(a, b AgedProblem) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Key, b.Key)) })
	return slices.Clip(all[:min(len(all), keptAges)])
}
