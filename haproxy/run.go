package haproxy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// checkWait is how long run waits for the first checks of servers that it added.
	checkWait = 3 * time.Second
	// deleteWait is how long a server in maintenance has to get rid of its last connections.
	deleteWait = 2 * time.Second
	// seenWait is how long a change that HAProxy has taken may need to be seen: milliseconds, measured.
	seenWait = 500 * time.Millisecond
	// noWait is a drain that waits for nothing.
	noWait    = time.Duration(-1)
	pollFirst = 20 * time.Millisecond
	pollLast  = 250 * time.Millisecond
)

// A view is what the process has of the servers that a run is about, read at one time.
type view map[ServerKey]liveServer

// run makes AddServer, SetServer and RemoveServer changes in the process, each server in at most one of them, and
// reads back that they are in effect. params are the words of a backend's default-server lines, which HAProxy does not
// apply to a server that is added live. A removed server has drain to finish its sessions. The error is a *RunError
// where HAProxy took only some.
func (r runtime) run(
	ctx context.Context, caps Capabilities, changes []Change, params func(backend string) string, drain time.Duration,
) error {
	if err := sound(changes, params); err != nil {
		return err
	}
	_, live, err := r.view(ctx, changes)
	if err != nil {
		return err
	}
	return r.carryOut(ctx, orders{caps, params}, changes, live, drain)
}

// sound refuses changes that no command may be made of.
func sound(changes []Change, params func(backend string) string) error {
	seen := map[ServerKey]bool{}
	for _, c := range changes {
		if err := safeChange(c, params); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		if seen[c.Key()] {
			return fmt.Errorf("%s: two changes of one server", c)
		}
		seen[c.Key()] = true
	}
	return nil
}

// carryOut makes sound changes; live is what the process has of them: those that are in effect are left alone. Servers
// come before servers go. With noWait, added ones are not waited for, and those that go do not drain.
func (r runtime) carryOut(ctx context.Context, o orders, changes []Change, live view, drain time.Duration) error {
	stay, leave := o.pending(changes, live)
	r.recollection.forget(unread(append(stay, leave...), live))
	if err := r.exec(ctx, o.commands(stay, live)); err != nil {
		return err
	}
	if drain != noWait {
		if err := r.awaitChecks(ctx, stay); err != nil {
			return err
		}
	}
	if err := r.remove(ctx, o.caps, leave, live, drain); err != nil {
		return err
	}
	return r.settle(ctx, o, append(stay, leave...))
}

// settle reads back, makes what is not in effect once more, one by one, and reports what still is not.
func (r runtime) settle(ctx context.Context, o orders, changes []Change) error {
	live, err := r.readBack(ctx, changes)
	if err != nil {
		return err
	}
	var failures []Failure
	for _, c := range changes {
		if inEffect(c, live) {
			continue
		}
		reply, err := r.single(ctx, o, c, live)
		if err != nil {
			return err
		}
		failures = append(failures, Failure{c, reply})
	}
	if len(failures) == 0 {
		return nil
	}
	again := make([]Change, len(failures))
	for i, f := range failures {
		again[i] = f.Change
	}
	if live, err = r.readBack(ctx, again); err != nil {
		return err
	}
	var left []Failure
	for _, f := range failures {
		if !inEffect(f.Change, live) {
			left = append(left, Failure{f.Change, f.Reply + remains(f.Change, live)})
		}
	}
	if len(left) == 0 {
		return nil
	}
	return &RunError{left}
}

// readBack reads the servers of the changes, and again for a while where one that stays is not as it is to be: with
// several threads, HAProxy 3.0 and later answer a change of an address a little before it is to be seen.
func (r runtime) readBack(ctx context.Context, changes []Change) (live view, err error) {
	err = poll(ctx, seenWait, func() (bool, error) {
		_, live, err = r.view(ctx, changes)
		return !slices.ContainsFunc(changes, func(c Change) bool {
			return c.Op() != OpRemove && !inEffect(c, live)
		}), err
	})
	return live, err
}

// single makes one change, up to the first command that has to be taken, and returns HAProxy's last words.
func (r runtime) single(ctx context.Context, o orders, c Change, live view) (string, error) {
	commands, why := o.of(c, live)
	for _, command := range commands {
		reply, err := r.ask(ctx, command)
		if err != nil {
			return "", err
		}
		words := strings.Join(strings.Fields(reply), " ")
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

// remains adds what became of a server that could not be removed.
func remains(c Change, live view) string {
	if c.Op() == OpRemove && live[c.Key()].State == Maint {
		return " (it stays in maintenance)"
	}
	return ""
}

// awaitChecks waits until HAProxy has checked the ready servers among the added ones, so that the caller can rely on
// those that are up. One that is down is not waited for.
func (r runtime) awaitChecks(ctx context.Context, changes []Change) error {
	var added []Change
	for _, c := range changes {
		if awaitsCheck(c) {
			added = append(added, c)
		}
	}
	if len(added) == 0 {
		return nil
	}
	return poll(ctx, checkWait, func() (bool, error) {
		_, live, err := r.view(ctx, added)
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

// awaitsCheck reports whether the change adds a server that takes no traffic before its first good check.
func awaitsCheck(c Change) bool {
	_, want := c.Servers()
	return c.Op() == OpAdd && want.Check && want.State == Ready
}

// view reads the servers of the backends that the changes are about, and who the process is.
func (r runtime) view(ctx context.Context, changes []Change) (worker, view, error) {
	live := view{}
	if len(changes) == 0 {
		return worker{}, live, nil
	}
	names := make([]string, len(changes))
	for i, c := range changes {
		names[i] = c.Key().Backend
	}
	w, backends, err := r.look(ctx, names...)
	if err != nil {
		return worker{}, nil, err
	}
	for _, b := range backends {
		live.add(b)
	}
	return w, live, nil
}

func (v view) add(b liveBackend) {
	for _, s := range b.Servers {
		v[ServerKey{b.Name, s.Name}] = s
	}
}

// poll calls done, less and less often, until it says so or limit is over, which is no error.
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
