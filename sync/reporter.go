package sync

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

const (
	// reportInterval is the least time between two reports, and between two counts of sessions.
	reportInterval = time.Second
	// sessionPollShare bounds the time for counting sessions to one part in so many.
	sessionPollShare = 50
	// statusInterval is how often the status is read without a pass: one may take long.
	statusInterval = 2 * time.Second

	// An agent that is behind reports again after a time that grows with how far it is behind, from minBehind to maxBehind.
	minBehind = 5 * time.Second
	maxBehind = time.Minute

	maxLeaving = 200
	maxLeftOut = 100
	maxReason  = 300
)

// Report sends the agent's reports for the registry until ctx ends. It sends one soon after each change of its content, at most one a
// second. Without a change it only repeats how long the agent is behind. The sessions of a report were counted after its revision was
// applied. Report runs at the same time as Run.
func (a *Agent) Report(ctx context.Context, version string, out chan<- registry.AgentReport) {
	l := sessionCounter{process: a.cfg.Process}
	var sent registry.AgentReport
	changed, next := a.Changed(), time.Now().Add(statusInterval)
	if a.Status().Counts.Passes > 0 {
		next = time.Now()
	}
	for waitFor(ctx, changed, next) {
		var status Status
		changed, status, next = a.Changed(), a.Status(), time.Now().Add(statusInterval)
		if status.prefix == "" {
			continue
		}
		l.update(ctx, status)
		report := l.report(status)
		report.Hapsync = version
		if !report.Same(sent) || report.BehindSeconds >= sent.BehindSeconds+behindInterval(sent).Seconds() {
			select {
			case out <- report:
			case <-ctx.Done():
				return
			}
			sent = report
			if !waitFor(ctx, nil, time.Now().Add(reportInterval)) {
				return
			}
		}
		next = l.next()
	}
}

// behindInterval is the time after which an agent that is still behind reports again.
func behindInterval(sent registry.AgentReport) time.Duration {
	behind := time.Duration(sent.BehindSeconds * float64(time.Second))
	return min(max(behind, minBehind), maxBehind)
}

// waitFor returns after a signal, or at a time. It reports false if the context has ended.
func waitFor(ctx context.Context, signal <-chan struct{}, until time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-signal:
	case <-timer.C:
	}
	return ctx.Err() == nil
}

// A sessionCounter counts the sessions of servers that should lose them.
type sessionCounter struct {
	process Process

	applied registry.Revision   // at the last count of all servers
	servers []haproxy.ServerKey // the servers of that count
	busy    []registry.Leaving  // those with sessions
	unknown string              // why the last count failed; empty if it did not
	due     time.Time           // when the next count is due
}

// update counts the sessions of all servers if something has changed, else of those that had sessions.
func (l *sessionCounter) update(ctx context.Context, s Status) {
	whole := l.unknown != "" || l.applied != s.Has || !slices.Equal(l.servers, s.leaving)
	if !whole && (len(l.busy) == 0 || time.Now().Before(l.due)) {
		return
	}
	began := time.Now()
	var domains []string
	if whole {
		for _, key := range s.leaving {
			domains = append(domains, key.Domain())
		}
	} else {
		for _, b := range l.busy {
			domains = append(domains, b.Domain)
		}
	}
	l.applied, l.servers = s.Has, s.leaving
	l.count(ctx, slices.Compact(domains))
	l.due = time.Now().Add(max(reportInterval, sessionPollShare*time.Since(began)))
}

// count counts the sessions of the servers of some domains. Servers of other domains have none.
func (l *sessionCounter) count(ctx context.Context, domains []string) {
	l.busy, l.unknown = nil, ""
	if len(domains) == 0 {
		return
	}
	servers, err := l.process.Servers(ctx, domains...)
	if err != nil {
		l.unknown = clip(err.Error())
		return
	}
	for _, s := range servers {
		key := haproxy.ServerKey{Backend: haproxy.BackendName(s.Domain), Name: s.Name}
		_, leaving := slices.BinarySearchFunc(l.servers, key, byServerKey)
		if leaving && s.Sessions > 0 {
			l.busy = append(l.busy, registry.Leaving{Domain: s.Domain, Host: s.Name, Sessions: s.Sessions})
		}
	}
}

// next is when the next count is due without a change of the status.
func (l *sessionCounter) next() time.Time {
	if len(l.busy) > 0 || l.unknown != "" {
		return l.due
	}
	return time.Now().Add(statusInterval)
}

func (l *sessionCounter) report(s Status) registry.AgentReport {
	r := registry.AgentReport{
		Time: time.Now().UTC().Truncate(time.Millisecond), Prefix: s.prefix, Heard: s.Heard, Applied: s.Has,
		BehindSeconds: s.Lag().Round(time.Millisecond).Seconds(),
		Held:          clip(s.Held), Problems: len(s.Last.Problems), Unknown: l.unknown,
	}
	if s.Has > 0 {
		r.AppliedAt = s.AppliedAt.UTC().Truncate(time.Millisecond)
	}
	if s.HAProxy != (haproxy.Version{}) {
		r.HAProxy = s.HAProxy.String()
	}
	if len(s.Reasons) > 0 {
		r.Reason = clip(s.Reasons[0])
	}
	for _, p := range s.Last.Problems {
		name := p.Domain
		if p.Host != "" {
			name += "/" + p.Host
		}
		whole := p.Host != "" || p.Key == s.prefix+"/"+p.Domain // not only the options of the domain
		if name != "" && whole {
			r.LeftOut = append(r.LeftOut, name)
		}
	}
	slices.Sort(r.LeftOut)
	r.LeftOut = slices.Compact(r.LeftOut)
	if more := len(r.LeftOut) - maxLeftOut; more > 0 {
		r.LeftOut, r.LeftOutMore = r.LeftOut[:maxLeftOut], more
	}
	r.Pending = s.pending[:min(len(s.pending), maxLeftOut)]
	r.PendingMore = len(s.pending) - len(r.Pending)
	if s.reached > s.Has {
		r.Reached, r.Waiting = s.reached, s.lacking[:min(len(s.lacking), maxLeftOut)]
		r.WaitingMore = len(s.lacking) - len(r.Waiting)
	}
	shown := min(len(l.busy), maxLeaving)
	r.Leaving, r.More = l.busy[:shown], len(l.busy)-shown
	return r
}

func clip(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxReason)], "") }
