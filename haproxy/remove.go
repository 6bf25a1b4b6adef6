package haproxy

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
)

// remove takes servers out of the process: they drain, go into maintenance and are deleted. One that does not get
// rid of its connections stays in maintenance.
func (r runtime) remove(ctx context.Context, caps Capabilities, changes []Change, live view, drain time.Duration) error {
	if err := r.drain(ctx, changes, live, drain); err != nil {
		return err
	}
	commands := make([]string, len(changes))
	for i, c := range changes {
		commands[i] = maintain(caps, c, live)
	}
	if err := r.exec(ctx, commands); err != nil {
		return err
	}
	return r.delete(ctx, changes, drain)
}

// drain lets the servers that are not in maintenance finish their sessions: they get no new ones, but for requests
// with their cookie.
func (r runtime) drain(ctx context.Context, changes []Change, live view, limit time.Duration) error {
	var draining []Change
	var commands []string
	for _, c := range changes {
		if live[c.Key()].State != Maint {
			draining = append(draining, c)
			commands = append(commands, "set server "+c.Key().String()+" state drain")
		}
	}
	if len(draining) == 0 || limit <= 0 {
		return nil
	}
	if err := r.exec(ctx, commands); err != nil {
		return err
	}
	return poll(ctx, limit, func() (bool, error) {
		_, live, err := r.view(ctx, draining)
		if err != nil {
			return false, err
		}
		for _, c := range draining {
			if live[c.Key()].Sessions > 0 {
				return false, nil
			}
		}
		return true, nil
	})
}

// maintain is the command that puts a server into maintenance. On 2.6 a connection that becomes idle after that
// hinders the deletion for 13 to 15 s, unless the server's port changes.
func maintain(caps Capabilities, c Change, live view) string {
	command := "set server " + c.Key().String() + " state maint"
	if addr := live[c.Key()].Addr; !caps.WaitRemovable && addr.IsValid() {
		command += fmt.Sprintf(";set server %s addr %s port %d", c.Key().String(), addr.Addr(), cmp.Or(addr.Port()^1, 2))
	}
	return command
}

// delete deletes servers in maintenance; those with connections are tried again for a while, but not with noWait.
func (r runtime) delete(ctx context.Context, changes []Change, drain time.Duration) error {
	commands := make([]string, len(changes))
	for i, c := range changes {
		commands[i] = "del server " + c.Key().String()
	}
	if err := r.exec(ctx, commands); err != nil || len(changes) == 0 || drain == noWait {
		return err
	}
	_, live, err := r.view(ctx, changes)
	if err != nil {
		return err
	}
	left := remaining(changes, live)
	return poll(ctx, deleteWait, func() (bool, error) {
		var busy []Change
		for _, c := range left {
			reply, err := r.ask(ctx, "del server "+c.Key().String())
			if err != nil {
				return false, err
			}
			if strings.Contains(reply, "still has connections") {
				busy = append(busy, c)
			}
		}
		left = busy
		return len(left) == 0, nil
	})
}

// remaining are the changes that are not in effect.
func remaining(changes []Change, live view) []Change {
	var left []Change
	for _, c := range changes {
		if !inEffect(c, live) {
			left = append(left, c)
		}
	}
	return left
}
