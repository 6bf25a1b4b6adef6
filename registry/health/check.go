package health

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Check turns the results of a probe into healthy or not. It becomes healthy after Rise good results in a row, and unhealthy
// after Fall bad ones. It begins unhealthy. One goroutine owns it.
type Check struct {
	Probe             Probe
	Interval, Timeout time.Duration
	Rise, Fall        int

	known   bool // there has been a result
	healthy bool
	streak  int // how many results in a row contradict healthy
}

// ask probes once. It reports whether that changed the health, and why the result is bad.
func (c *Check) ask(ctx context.Context) (changed bool, why error) {
	limited, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	why = c.Probe(limited)
	if errors.Is(why, context.DeadlineExceeded) {
		why = fmt.Errorf("no answer in %s", c.Timeout)
	}
	return ctx.Err() == nil && c.count(why == nil), why
}

// count counts a result and reports whether it changed the health. A first result that is bad counts as a change.
func (c *Check) count(good bool) bool {
	first := !c.known
	c.known = true
	if good == c.healthy {
		c.streak = 0
		return first
	}
	enough := c.Rise
	if c.healthy {
		enough = c.Fall
	}
	if c.streak++; c.streak < enough {
		return false
	}
	c.healthy, c.streak = good, 0
	return true
}

// Watch probes at each interval until the context ends. It calls changed when the health changes, and after a first bad result.
func (c *Check) Watch(ctx context.Context, changed func(healthy bool, why error)) {
	pace := time.NewTicker(c.Interval)
	defer pace.Stop()
	for ctx.Err() == nil {
		if isNew, why := c.ask(ctx); isNew {
			changed(c.healthy, why)
		}
		select {
		case <-ctx.Done():
		case <-pace.C:
		}
	}
}
