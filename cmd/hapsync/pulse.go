package main

import (
	"fmt"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/sync"
)

// A pulse is the lock that each pass takes. So it sees them begin and end.
type pulse struct {
	locker sync.Locker
	limit  time.Duration

	mu    stdsync.Mutex
	since time.Time // when the pass that is under way began; zero between two passes
}

// Lock implements sync.Locker.
func (p *pulse) Lock() (unlock func() error, err error) {
	p.set(time.Now())
	free, err := p.locker.Lock()
	if err != nil {
		p.set(time.Time{})
		return nil, err
	}
	return func() error {
		defer p.set(time.Time{})
		return free()
	}, nil
}

func (p *pulse) set(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since = since
}

// stuck returns an error where a pass has been under way for longer than any takes. Between two passes there is nothing
// that could be stuck.
func (p *pulse) stuck() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() || time.Since(p.since) <= p.limit {
		return nil
	}
	return fmt.Errorf("the pass loop is stuck: a pass has been under way for %s", time.Since(p.since).Round(time.Second))
}
