package sync

import (
	"context"
	"errors"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// At a resync, HAProxy is read in another goroutine, so that no change waits for that. The loop then makes a pass over the domains that have
// changed in the process; over everything only if that is not enough.

// maxLooks is how many resyncs in a row may do with looks. The next one makes a pass over everything: a look compares HAProxy with what was
// read of it before, and not with the registry.
const maxLooks = 10

// looks are those of an agent.
type looks struct {
	due     chan func() (haproxy.Look, error) // for the goroutine that makes them
	results chan looked
	current *look // nil if none is being made
}

// A look is one that is being made.
type look struct {
	identity haproxy.Identity // HAProxy's at its start
	// changed are the domains that passes have changed in the process since.
	changed map[string]bool
	// outdated is set once a pass has read everything.
	outdated bool
}

// looked is the result of a look.
type looked struct {
	haproxy.Look
	err error
}

func newLooks() looks {
	return looks{due: make(chan func() (haproxy.Look, error), 1), results: make(chan looked, 1)}
}

// runLooks makes looks until due is closed.
func runLooks(due <-chan func() (haproxy.Look, error), results chan<- looked) {
	for look := range due {
		seen, err := look()
		results <- looked{seen, err}
	}
}

// resync has everything compared: by a look, or by a pass over everything.
func (a *Agent) resync(ctx context.Context, now time.Time) {
	a.memory.retryRefused(false)
	a.memory.forgetExpired()
	if !a.alarms.whole.IsZero() && a.alarms.trusted || a.looks.current != nil {
		return // it is under way
	}
	if !a.alarms.trusted || a.memory.otherRegistry != nil || now.Sub(a.alarms.wholeEnded) > maxLooks*a.cfg.Resync {
		a.alarms.whole = now
		return
	}
	begin, cancel := context.WithTimeout(ctx, partialTimeout)
	defer cancel()
	read, err := a.cfg.Process.Look(begin)
	if err != nil {
		a.alarms.whole = now
		return
	}
	a.looks.current = &look{identity: a.memory.identity, changed: map[string]bool{}}
	a.looks.due <- func() (haproxy.Look, error) { return read(ctx) }
}

// forgetExpired forgets which hosts have expired, of domains with nothing left to do.
func (m *memory) forgetExpired() {
	for _, d := range m.domains {
		if d.waits == waitsForNothing {
			d.expired = nil
		}
	}
	m.forget()
}

// note takes into the current look what a pass did.
func (l *looks) note(p *pass) {
	if l.current == nil {
		return
	}
	l.current.outdated = l.current.outdated || p.scope.All()
	for _, c := range p.made {
		l.current.changed[c.Domain()] = true // and has read back
	}
}

// looked has the domains read that have changed in HAProxy; if that is not enough, everything.
func (a *Agent) looked(seen looked) {
	l, now := a.looks.current, time.Now()
	a.looks.current = nil
	var changed []string
	for _, name := range seen.Changed {
		if !l.changed[name] {
			changed = append(changed, name)
		}
	}
	switch {
	case l.outdated, errors.Is(seen.err, context.Canceled):
	case seen.err != nil:
		a.alarms.whole = now
	case seen.Identity != l.identity && a.haproxyChanged(seen.Identity):
		a.readAnew(now)
	case seen.Worker != l.identity.Worker || seen.Worker != a.memory.identity.Worker: // the reload has everything read
	case seen.More || !seen.Surroundings.Equal(a.alarms.surroundings) || len(changed) > maxPartial:
		a.alarms.whole = now
	default:
		a.recordLook(seen.OldWorkers)
		if len(changed) == 0 {
			return
		}
		a.cfg.Process.Forget(changed...)
		for _, name := range changed {
			a.alarms.recheck[name] = true
		}
	}
}

// recordLook takes into the status what a look without a pass has found.
func (a *Agent) recordLook(oldWorkers int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.status.Last.OldWorkers != oldWorkers {
		a.status.Last.OldWorkers = oldWorkers
		a.notify()
	}
}
