package daemon

import (
	"fmt"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/sync"
)

// A Watchdog sees the passes and the deployer's jobs begin and end: it is the file, of which the deployer takes the lock, and what
// the loop calls at each pass.
type Watchdog struct {
	sync.File
	Limit time.Duration

	mu    stdsync.Mutex
	under map[*time.Time]bool // when what is under way began
}

// Lock implements sync.File.
func (p *Watchdog) Lock() (unlock func() error, err error) {
	end := p.Begin()
	free, err := p.File.Lock()
	if err != nil {
		end()
		return nil, err
	}
	return func() error {
		defer end()
		return free()
	}, nil
}

// Begin takes note of a pass, or a job, until end is called.
func (p *Watchdog) Begin() (end func()) {
	since := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.under == nil {
		p.under = map[*time.Time]bool{}
	}
	p.under[&since] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.under, &since)
	}
}

// Stuck returns an error where something has been under way for longer than any pass takes. Between two passes there is nothing
// that could be stuck.
func (p *Watchdog) Stuck() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for since := range p.under {
		if time.Since(*since) > p.Limit {
			return fmt.Errorf("the pass loop is stuck: a pass has been under way for %s", time.Since(*since).Round(time.Second))
		}
	}
	return nil
}
