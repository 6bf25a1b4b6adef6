package runtimeapi

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

const (
	// checkWait is how long CarryOut waits for the first checks of new servers.
	checkWait = 3 * time.Second
	// deleteWait is how long a server in maintenance may take to lose its last connections.
	deleteWait = 2 * time.Second
	// visibleWait is how long a change may take to become visible: milliseconds, measured.
	visibleWait = 500 * time.Millisecond
	// NoWait as the drain time means to wait for nothing.
	NoWait    = time.Duration(-1)
	pollFirst = 2 * time.Millisecond
	pollLast  = 250 * time.Millisecond
)

// A View has the servers that some changes are about, read at one time.
type View map[haproxy.ServerKey]Server

// Safe separates the changes that can become commands from those that are refused, such as one of a server with a quote in its words.
// Those have to wait for a reload. Two changes of one server are an error.
func Safe(changes []haproxy.Change, params func(backend string) string) (safe []haproxy.Change, refused []haproxy.Failure, err error) {
	seen := map[haproxy.ServerKey]bool{}
	for _, c := range changes {
		if err := safeChange(c, params); err != nil {
			refused = append(refused, haproxy.Failure{Change: c, Reply: err.Error()})
			continue
		}
		if seen[c.Key()] {
			return nil, nil, fmt.Errorf("%s: two changes of one server", c)
		}
		seen[c.Key()] = true
		safe = append(safe, c)
	}
	return safe, refused, nil
}

// CarryOut makes safe changes. live is the state before them; changes that are in effect are skipped. Servers are added before others
// are removed. Those have the time drain to finish their sessions. With NoWait it waits neither for sessions nor for the first checks
// of new servers. It returns the state after the changes. The error is a *RunError if HAProxy refused some of the changes.
func (r Client) CarryOut(ctx context.Context, o Commands, changes []haproxy.Change, live View, drain time.Duration) (View, error) {
	stay, leave := o.pending(changes, live)
	all := slices.Concat(stay, leave)
	r.Cache.Forget(unread(all, live)...)
	commands := o.commands(stay, live)
	if drain == NoWait {
		commands = append(commands, removals(o.Capabilities, leave, live)...)
	} else {
		if err := r.exec(ctx, commands); err != nil {
			return nil, err
		}
		o.sent(stay)
		if err := r.awaitChecks(ctx, stay); err != nil {
			return nil, err
		}
		if err := r.remove(ctx, o.Capabilities, leave, live, drain); err != nil {
			return nil, err
		}
		commands = nil
	}
	if o.Again != nil {
		if err := o.Again(); err != nil {
			return nil, err
		}
	}
	after, err := r.viewAfter(ctx, commands, all)
	if err != nil {
		return nil, err
	}
	if drain == NoWait {
		o.sent(stay)
	}
	return r.settle(ctx, o, all, after)
}

// settle retries what is not in effect one by one, and returns the state after that. live is the state after the commands. The error says
// what is still not in effect.
func (r Client) settle(ctx context.Context, o Commands, changes []haproxy.Change, live View) (View, error) {
	if !visible(changes, live) {
		var err error
		if live, err = r.readBack(ctx, changes); err != nil {
			return nil, err
		}
	}
	var failures []haproxy.Failure
	for _, c := range changes {
		if confirmed(c, live) {
			continue
		}
		reply, err := r.single(ctx, o, c, live)
		if err != nil {
			return nil, err
		}
		failures = append(failures, haproxy.Failure{Change: c, Reply: reply})
	}
	if len(failures) == 0 {
		return live, nil
	}
	again := make([]haproxy.Change, len(failures))
	for i, f := range failures {
		again[i] = f.Change
	}
	now, err := r.readBack(ctx, again)
	if err != nil {
		return nil, err
	}
	var left []haproxy.Failure
	for _, f := range failures {
		if !confirmed(f.Change, now) {
			left = append(left, haproxy.Failure{Change: f.Change, Reply: f.Reply + remains(f.Change, now)})
		}
	}
	for _, c := range again {
		delete(live, c.Key())
	}
	maps.Copy(live, now)
	if len(left) == 0 {
		return live, nil
	}
	return live, &haproxy.RunError{Failures: left}
}

// readBack reads the servers of the changes. It reads again for a while if a server that stays is not as wanted: with several threads,
// HAProxy 3.0 and later answer a change of an address a little before it is visible.
func (r Client) readBack(ctx context.Context, changes []haproxy.Change) (live View, err error) {
	err = poll(ctx, visibleWait, func() (bool, error) {
		_, live, err = r.View(ctx, changes)
		return visible(changes, live), err
	})
	return live, err
}

// visible reports whether the servers that stay are as wanted.
func visible(changes []haproxy.Change, live View) bool {
	return !slices.ContainsFunc(changes, func(c haproxy.Change) bool { return c.Op() != haproxy.OpRemove && !confirmed(c, live) })
}

// single makes one change and returns HAProxy's last words. It stops if "add server" is refused.
func (r Client) single(ctx context.Context, o Commands, c haproxy.Change, live View) (string, error) {
	commands, why := o.of(c, live)
	for _, command := range commands {
		reply, err := r.Ask(ctx, command)
		if err != nil {
			return "", err
		}
		words := oneLine(reply)
		why = cmp.Or(words, why)
		if strings.HasPrefix(command, "add server ") && words != "New server registered." {
			break
		}
	}
	if why == "" {
		why = "HAProxy took it without a word, but it is not in effect"
	}
	return why, nil
}

// remains tells the state of a server that could not be removed.
func remains(c haproxy.Change, live View) string {
	if c.Op() == haproxy.OpRemove && live[c.Key()].State == haproxy.Maint {
		return " (it stays in maintenance)"
	}
	return ""
}

// awaitChecks waits until HAProxy has checked the new servers that are ready. A server counts as checked if it is down, too.
func (r Client) awaitChecks(ctx context.Context, changes []haproxy.Change) error {
	var added []haproxy.Change
	for _, c := range changes {
		if awaitsCheck(c) {
			added = append(added, c)
		}
	}
	if len(added) == 0 {
		return nil
	}
	return poll(ctx, checkWait, func() (bool, error) {
		_, live, err := r.View(ctx, added)
		if err != nil {
			return false, err
		}
		for _, c := range added {
			if live[c.Key()].Undecided {
				return false, nil
			}
		}
		return true, nil
	})
}

// awaitsCheck reports whether the change adds a server that gets no traffic before its first good check.
func awaitsCheck(c haproxy.Change) bool {
	_, want := c.Servers()
	return c.Op() == haproxy.OpAdd && want.Check && want.State == haproxy.Ready
}

// View reads the identity of the process, and the servers of all backends that the changes are about.
func (r Client) View(ctx context.Context, changes []haproxy.Change) (Worker, View, error) {
	if len(changes) == 0 {
		return Worker{}, View{}, nil
	}
	w, backends, err := r.Look(ctx, backendsOf(changes)...)
	return w, viewOf(backends), err
}

// viewAfter sends commands, and reads the servers of all backends that the changes are about.
func (r Client) viewAfter(ctx context.Context, commands []string, changes []haproxy.Change) (View, error) {
	if len(changes) == 0 {
		return View{}, nil
	}
	_, backends, err := r.execAndLook(ctx, commands, backendsOf(changes))
	return viewOf(backends), err
}

func backendsOf(changes []haproxy.Change) []string {
	names := make([]string, len(changes))
	for i, c := range changes {
		names[i] = c.Key().Backend
	}
	return names
}

func viewOf(backends []Backend) View {
	live := View{}
	for _, b := range backends {
		live.add(b)
	}
	return live
}

func (v View) add(b Backend) {
	for _, s := range b.Servers {
		v[haproxy.ServerKey{Backend: b.Name, Name: s.Name}] = s
	}
}

// poll calls done until it returns true, at growing intervals. Reaching the limit is not an error.
func poll(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for wait := pollFirst; ; wait = min(2*wait, pollLast) {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return nil
		case <-time.After(wait):
		}
	}
}
