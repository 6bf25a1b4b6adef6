package health

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Check says from the results of a probe whether a host is healthy: it rises after Rise good ones in a row, and falls after
// Fall bad ones. At first it is not healthy. One goroutine owns it.
type Check struct {
	Probe             Probe
	Interval, Timeout time.Duration
	Rise, Fall        int

	known   bool // there has been a result
	healthy bool
	streak  int // of results that speak against healthy
}

// ask probes once. It reports whether that has changed what the host is, and why it is bad.
func (c *Check) ask(ctx context.Context) (changed bool, why error) {
	limited, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	why = c.Probe(limited)
	if errors.Is(why, context.DeadlineExceeded) {
		why = fmt.Errorf("no answer in %s", c.Timeout)
	}
	return ctx.Err() == nil && c.count(why == nil), why
}

// count takes a result and reports whether it has changed what the host is. So has the first one that is bad.
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

// Watch asks at each interval until the context ends, and calls changed when the host turns good or bad, and with a first result that is bad.
func (c *Check) Watch(ctx context.Context, changed func(healthy bool, why error)) {
	pace := time.NewTicker(c.Interval)
	defer pace.Stop()
	for ctx.Err() == nil {
		if news, why := c.ask(ctx); news {
			changed(c.healthy, why)
		}
		select {
		case <-ctx.Done():
		case <-pace.C:
		}
	}
}
