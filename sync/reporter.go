package sync

import (
	"context"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

const (
	// tellPace is the least time between two reports, and between two looks at sessions.
	reportInterval = time.Second
	// lookShare bounds the time that looks at sessions take: one part in so many.
	sessionPollShare = 50
	// tellLook is how often the status is looked at although no pass was made: one may take long.
	statusInterval = 2 * time.Second

	// behindFirst and behindMost bound the time after which an agent that is behind says again for how long: that grows with
	// how long it is.
	behindMin = 5 * time.Second
	behindMax = time.Minute

	maxLeaving = 200
	maxLeftOut = 100
	maxReason  = 300
)

// Report sends what others are to know of the agent, until ctx ends: soon after each change of what matters, at most once
// a second, and nothing where nothing changes, but for how long the agent is behind. It runs beside Run. What is sent says that so many sessions are left as of
// a look that was made after the revision was applied.
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

// patience is after what time an agent that is still behind is to say so again.
func behindInterval(sent registry.AgentReport) time.Duration {
	behind := time.Duration(sent.BehindSeconds * float64(time.Second))
	return min(max(behind, behindMin), behindMax)
}

// await returns at the time, or when something is told; false where the context has ended.
func waitFor(ctx context.Context, told <-chan struct{}, until time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-told:
	case <-timer.C:
	}
	return ctx.Err() == nil
}

// A lookout counts the sessions of servers that are to have none any more.
type sessionCounter struct {
	process Process

	applied registry.Revision // and these servers: of the last whole look
	servers []haproxy.ServerKey
	busy    []registry.Leaving // those with sessions
	unknown string
	due     time.Time // when the next look is due
}

// look looks at all servers where something has changed, else at those that had sessions.
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

// count looks at the servers of some domains; the others have no sessions.
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
		_, leaving := slices.BinarySearchFunc(l.servers, haproxy.ServerKey{Backend: haproxy.BackendName(s.Domain), Name: s.Name}, byServerKey)
		if leaving && s.Sessions > 0 {
			l.busy = append(l.busy, registry.Leaving{Domain: s.Domain, Host: s.Name, Sessions: s.Sessions})
		}
	}
}

// next is when there is to be a look without any news.
func (l *sessionCounter) next() time.Time {
	if len(l.busy) > 0 || l.unknown != "" {
		return l.due
	}
	return time.Now().Add(statusInterval)
}

func (l *sessionCounter) report(s Status) registry.AgentReport {
	r := registry.AgentReport{
		Time: time.Now().UTC().Truncate(time.Millisecond), Prefix: s.prefix, Heard: s.Heard, Applied: s.Has,
		AppliedAt: s.AppliedAt.UTC().Truncate(time.Millisecond), BehindSeconds: s.Lag().Round(time.Millisecond).Seconds(),
		Held: clip(s.Held), Problems: len(s.Last.Problems), Unknown: l.unknown,
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
	if s.reached > s.Has {
		r.Reached, r.Waiting = s.reached, s.lacking[:min(len(s.lacking), maxLeftOut)]
		r.WaitingMore = len(s.lacking) - len(r.Waiting)
	}
	shown := min(len(l.busy), maxLeaving)
	r.Leaving, r.More = l.busy[:shown], len(l.busy)-shown
	return r
}

func clip(text string) string { return text[:min(len(text), maxReason)] }
