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

const (
	// checkWait is how long run waits for the first checks of servers that it added.
	checkWait = 3 * time.Second
	// deleteWait is how long a server in maintenance has to get rid of its last connections.
	deleteWait = 2 * time.Second
	// seenWait is how long a change that HAProxy has taken may need to be seen: milliseconds, measured.
	seenWait = 500 * time.Millisecond
	// NoWait is a drain that waits for nothing.
	NoWait    = time.Duration(-1)
	pollFirst = 20 * time.Millisecond
	pollLast  = 250 * time.Millisecond
)

// A View is what the process has of the servers that a run is about, read at one time.
type View map[haproxy.ServerKey]Server

// Sound refuses changes that no command may be made of.
func Sound(changes []haproxy.Change, params func(backend string) string) error {
	seen := map[haproxy.ServerKey]bool{}
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

// Part tells the changes that commands can be made of from those that no command may be made of, such as one of a server with a
// quote in its words, which the reload brings.
func Part(changes []haproxy.Change, params func(backend string) string) (sound []haproxy.Change, refused []haproxy.Failure) {
	for _, c := range changes {
		if err := safeChange(c, params); err != nil {
			refused = append(refused, haproxy.Failure{Change: c, Reply: err.Error()})
			continue
		}
		sound = append(sound, c)
	}
	return sound, refused
}

// CarryOut makes sound changes; live is what the process has of them: those that are in effect are left alone. Servers
// come before servers go, and those that go have drain to finish their sessions. With NoWait they do not drain, and added ones are
// not waited for. The error is a *RunError where HAProxy took only some.
func (r Client) CarryOut(ctx context.Context, o Commands, changes []haproxy.Change, live View, drain time.Duration) error {
	stay, leave := o.pending(changes, live)
	r.Cache.Forget(unread(append(stay, leave...), live)...)
	if err := r.exec(ctx, o.commands(stay, live)); err != nil {
		return err
	}
	if o.Sent != nil {
		o.Sent(stay)
	}
	if drain != NoWait {
		if err := r.awaitChecks(ctx, stay); err != nil {
			return err
		}
	}
	if err := r.remove(ctx, o.Capabilities, leave, live, drain); err != nil {
		return err
	}
	return r.settle(ctx, o, append(stay, leave...))
}

// settle reads back, makes what is not in effect once more, one by one, and reports what still is not.
func (r Client) settle(ctx context.Context, o Commands, changes []haproxy.Change) error {
	if o.Again != nil {
		if err := o.Again(); err != nil {
			return err
		}
	}
	live, err := r.readBack(ctx, changes)
	if err != nil {
		return err
	}
	var failures []haproxy.Failure
	for _, c := range changes {
		if cameAbout(c, live) {
			continue
		}
		reply, err := r.single(ctx, o, c, live)
		if err != nil {
			return err
		}
		failures = append(failures, haproxy.Failure{Change: c, Reply: reply})
	}
	if len(failures) == 0 {
		return nil
	}
	again := make([]haproxy.Change, len(failures))
	for i, f := range failures {
		again[i] = f.Change
	}
	if live, err = r.readBack(ctx, again); err != nil {
		return err
	}
	var left []haproxy.Failure
	for _, f := range failures {
		if !cameAbout(f.Change, live) {
			left = append(left, haproxy.Failure{Change: f.Change, Reply: f.Reply + remains(f.Change, live)})
		}
	}
	if len(left) == 0 {
		return nil
	}
	return &haproxy.RunError{Failures: left}
}

// readBack reads the servers of the changes, and again for a while where one that stays is not as it is to be: with
// several threads, HAProxy 3.0 and later answer a change of an address a little before it is to be seen.
func (r Client) readBack(ctx context.Context, changes []haproxy.Change) (live View, err error) {
	err = poll(ctx, seenWait, func() (bool, error) {
		_, live, err = r.View(ctx, changes)
		return !slices.ContainsFunc(changes, func(c haproxy.Change) bool {
			return c.Op() != haproxy.OpRemove && !cameAbout(c, live)
		}), err
	})
	return live, err
}

// single makes one change, up to the first command that has to be taken, and returns HAProxy's last words.
func (r Client) single(ctx context.Context, o Commands, c haproxy.Change, live View) (string, error) {
	commands, why := o.of(c, live)
	for _, command := range commands {
		reply, err := r.Ask(ctx, command)
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
func remains(c haproxy.Change, live View) string {
	if c.Op() == haproxy.OpRemove && live[c.Key()].State == haproxy.Maint {
		return " (it stays in maintenance)"
	}
	return ""
}

// awaitChecks waits until HAProxy has checked the ready servers among the added ones, so that the caller can rely on
// those that are up. One that is down is not waited for.
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

// awaitsCheck reports whether the change adds a server that takes no traffic before its first good check.
func awaitsCheck(c haproxy.Change) bool {
	_, want := c.Servers()
	return c.Op() == haproxy.OpAdd && want.Check && want.State == haproxy.Ready
}

// View reads the servers of the backends that the changes are about, and who the process is.
func (r Client) View(ctx context.Context, changes []haproxy.Change) (Worker, View, error) {
	live := View{}
	if len(changes) == 0 {
		return Worker{}, live, nil
	}
	names := make([]string, len(changes))
	for i, c := range changes {
		names[i] = c.Key().Backend
	}
	w, backends, err := r.Look(ctx, names...)
	if err != nil {
		return Worker{}, nil, err
	}
	for _, b := range backends {
		live.add(b)
	}
	return w, live, nil
}

func (v View) add(b Backend) {
	for _, s := range b.Servers {
		v[haproxy.ServerKey{Backend: b.Name, Name: s.Name}] = s
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
