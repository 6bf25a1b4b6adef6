package driver

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"

	stdsync "sync"
)

// A carrier carries out permitted changes of servers in a worker.
type carrier struct {
	*Instance
	file   configfile.Reading
	client runtimeapi.Client
	worker runtimeapi.Worker
}

// finish makes changes and waits until they are in effect.
func (c carrier) finish(ctx context.Context, changes []haproxy.Change, live runtimeapi.View) error {
	checks, end := context.WithCancel(ctx)
	defer c.firstChecks.running.Wait()
	defer end()
	_, err := c.carryOut(ctx, checks, changes, live, c.settings.DrainTimeout)
	return err
}

// The last requests of a server that begins to drain mostly end within milliseconds. So its removal is tried again for a moment.
const (
	glances     = 4
	glancePause = 500 * time.Microsecond
	fewDrains   = 16
)

// begin makes the changes that are due and waits for nothing. A server that is removed drains first: what HAProxy says then of its sessions
// is current.
func (c carrier) begin(ctx context.Context, changes []haproxy.Change, live runtimeapi.View, current bool) error {
	checks := context.WithoutCancel(ctx)
	due := c.draining.Due(changes, live, current)
	live, err := c.carryOut(ctx, checks, due, live, runtimeapi.NoWait)
	begun := drainsAmong(changes, due)
	var run *haproxy.RunError
	if len(begun) == 0 || len(begun) > fewDrains || err != nil && !errors.As(err, &run) {
		return err
	}
	for i := range glances {
		if i > 0 {
			var glanceErr error
			if live, glanceErr = c.glance(ctx, begun); glanceErr != nil {
				return glanceErr
			}
		}
		idle := c.draining.Due(begun, live, true)
		_, removeErr := c.carryOut(ctx, checks, idle, live, runtimeapi.NoWait)
		if removeErr != nil && !errors.As(removeErr, &run) {
			return removeErr
		} else if removeErr != nil {
			err = withRefusals(err, run.Failures)
		}
		begun = slices.DeleteFunc(begun, func(c haproxy.Change) bool { return slices.Contains(idle, c) })
		if len(begun) == 0 {
			break
		}
	}
	return err
}

// drainsAmong are the removals that have become a drain among the changes that are due.
func drainsAmong(changes, due []haproxy.Change) (removals []haproxy.Change) {
	drained := map[haproxy.ServerKey]bool{}
	for _, c := range due {
		if c.Op() == haproxy.OpSet {
			drained[c.Key()] = true
		}
	}
	for _, c := range changes {
		if c.Op() == haproxy.OpRemove && drained[c.Key()] {
			removals = append(removals, c)
		}
	}
	return removals
}

// glance reads the servers of some changes after a pause.
func (c carrier) glance(ctx context.Context, changes []haproxy.Change) (runtimeapi.View, error) {
	select {
	case <-time.After(glancePause):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for _, change := range changes {
		c.cache.Forget(change.Key().Backend)
	}
	_, live, err := c.client.View(ctx, changes)
	return live, err
}

// carryOut makes changes. The first checks last as long as their context.
func (c carrier) carryOut(
	ctx, checks context.Context, changes []haproxy.Change, live runtimeapi.View, drain time.Duration,
) (runtimeapi.View, error) {
	if len(changes) == 0 {
		return live, nil
	}
	c.firstChecks.forget(changes)
	isNew := func(change haproxy.Change) bool {
		_, there := live[change.Key()]
		return change.Op() == haproxy.OpAdd && !there
	}
	others, sent := slices.DeleteFunc(slices.Clone(changes), isNew), make(chan struct{})
	added := slices.DeleteFunc(slices.Clone(changes), func(change haproxy.Change) bool { return !isNew(change) })
	raise := stdsync.OnceFunc(func() { close(sent) })
	defer raise() // after an error, too: the checks end, and raise no server that is not there
	good := c.firstChecks.await(c.checkFirst(checks, added, sent))
	live, err := c.client.CarryOut(ctx, runtimeapi.Commands{
		Capabilities: haproxy.CapabilitiesOf(c.worker.Version), Params: c.file.DefaultServer, Checked: good,
		Again: func() error { return c.domains.of(c.worker) },
		Sent: func(stay []haproxy.Change) {
			raise()
			c.checkFirst(checks, slices.DeleteFunc(slices.Clone(others), func(change haproxy.Change) bool {
				return !slices.Contains(stay, change)
			}), sent)
		},
	}, changes, live, drain)
	c.forgetRemoved(changes, err)
	return live, err
}
