package daemon

import (
	"fmt"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/sync"
)

// A Watchdog knows when passes and the deployer's jobs begin and end. It wraps the file, whose lock the deployer takes for a
// job. The loop calls Begin at each pass.
type Watchdog struct {
	sync.File
	Limit time.Duration

	mu    stdsync.Mutex
	begun map[*time.Time]bool // when each running pass or job began
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

// Begin notes a pass or a job until end is called.
func (p *Watchdog) Begin() (end func()) {
	since := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.begun == nil {
		p.begun = map[*time.Time]bool{}
	}
	p.begun[&since] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.begun, &since)
	}
}

// Stuck returns an error if a pass or a job takes longer than Limit.
func (p *Watchdog) Stuck() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for since := range p.begun {
		if time.Since(*since) > p.Limit {
			return fmt.Errorf("the pass loop is stuck: a pass has been under way for %s", time.Since(*since).Round(time.Second))
		}
	}
	return nil
}
