package runtimeapi

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// remove removes servers from the process: they drain, go into maintenance and are deleted. A server that keeps connections stays in
// maintenance.
func (r Client) remove(ctx context.Context, caps haproxy.Capabilities, changes []haproxy.Change, live View, drain time.Duration) error {
	if err := r.drain(ctx, changes, live, drain); err != nil {
		return err
	}
	if err := r.exec(ctx, removals(caps, changes, live)); err != nil || len(changes) == 0 {
		return err
	}
	return r.delete(ctx, changes)
}

// removals are the commands that put servers into maintenance, and then delete them.
func removals(caps haproxy.Capabilities, changes []haproxy.Change, live View) (commands []string) {
	for _, c := range changes {
		commands = append(commands, maintain(caps, c, live))
	}
	for _, c := range changes {
		commands = append(commands, "del server "+c.Key().String())
	}
	return commands
}

// drain lets the servers that are not in maintenance finish their sessions. They get only new sessions with their cookie.
func (r Client) drain(ctx context.Context, changes []haproxy.Change, live View, limit time.Duration) error {
	var draining []haproxy.Change
	var commands []string
	for _, c := range changes {
		if live[c.Key()].State != haproxy.Maint {
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
		_, live, err := r.View(ctx, draining)
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

// maintain is the command that puts a server into maintenance. On 2.6, a connection that becomes idle later delays the deletion by
// 13 to 15 s, unless the server's port changes.
func maintain(caps haproxy.Capabilities, c haproxy.Change, live View) string {
	command := "set server " + c.Key().String() + " state maint"
	if addr := live[c.Key()].Addr; !caps.WaitRemovable && addr.IsValid() {
		command += fmt.Sprintf(";set server %s addr %s port %d", c.Key().String(), addr.Addr(), cmp.Or(addr.Port()^1, 2))
	}
	return command
}

// delete deletes again, for a while, the servers in maintenance that still have connections.
func (r Client) delete(ctx context.Context, changes []haproxy.Change) error {
	_, live, err := r.View(ctx, changes)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(changes), func(c haproxy.Change) bool { return inEffect(c, live) })
	return poll(ctx, deleteWait, func() (bool, error) {
		var busy []haproxy.Change
		for _, c := range left {
			reply, err := r.Ask(ctx, "del server "+c.Key().String())
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
