package haproxy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	reloadTimeout = 60 * time.Second
	// masterWait is how long the master's socket may refuse connections: it does for 50 to 200 ms while it reloads.
	masterWait = 5 * time.Second
	// lostAfter is how long the answer to "reload" may take when the new worker is there.
	lostAfter = time.Second
	// awaitPatience bounds a question while a reload goes on: a socket may change hands right then.
	awaitPatience = 2 * time.Second
	// commandOutput is how much of a reload command's output is kept.
	commandOutput = 16 << 10
)

var (
	// errBusy: the master reloads already.
	errBusy = errors.New("another reload is in progress")
	// errSilent: the master answered nothing at all, as 2.6 does.
	errSilent = errors.New("no answer")
)

// A reloader makes HAProxy load its files.
type reloader struct {
	// master is the master's socket; empty where there is none, then command is run, without a shell.
	master  masterSocket
	command []string
	// runtime is the stats socket, on which the new worker is awaited.
	runtime runtime
	// timeout bounds a reload; 0 means 60 s.
	timeout time.Duration
	// deaf is the worker that may have lost its stats socket; 0 for none.
	deaf int
}

// reload returns when the new worker answers. It is not cut in two by the end of ctx, only by its own timeout. The
// error is a *ReloadError where HAProxy refuses its configuration.
func (l reloader) reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(l.timeout, reloadTimeout))
	defer cancel()
	before, err := l.runtime.info(ctx)
	if errors.Is(err, ErrDown) && l.master != "" {
		return l.revive(ctx, err)
	}
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	switch {
	case l.master != "":
		return l.byMaster(ctx, before)
	case len(l.command) > 0:
		return l.byCommand(ctx, before)
	}
	return fmt.Errorf("%w to reload: there is no way to ask it; name the master's socket with --master-socket "+
		"(haproxy -W -S <socket>), or a command with --reload-command", ErrRefused)
}

// revive reloads a HAProxy whose worker serves, but has lost its stats socket (down says so): the new one has it again.
func (l reloader) revive(ctx context.Context, down error) error {
	procs, err := l.master.procs(ctx)
	if err != nil || !procs.has(l.deaf) {
		return fmt.Errorf("reload: %w", down)
	}
	if err := l.master.reload(ctx); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	return l.await(ctx, worker{}, procs.Failed)
}

// byMaster asks the master, again while it is busy with another reload.
func (l reloader) byMaster(ctx context.Context, before worker) error {
	for {
		err := l.once(ctx, before)
		if err == nil || !errors.Is(err, errBusy) {
			return err
		}
		if wait(ctx, pollLast) != nil {
			return err
		}
		if now, err := l.runtime.info(ctx); err == nil {
			before = now
		}
	}
}

// once is one try; errBusy asks for another.
func (l reloader) once(ctx context.Context, before worker) error {
	procs, err := l.master.procs(ctx)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	if !procs.has(before.Pid) {
		return l.stranger(ctx, before)
	}
	err = l.ask(ctx, before)
	if errors.Is(err, errSilent) && !CapabilitiesOf(before.Version).ReloadReports {
		err = nil
	}
	if errors.Is(err, errSilent) {
		err = errBusy
	}
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	return l.await(ctx, before, procs.Failed)
}

// ask sends the command. One that meets another reload may be lost, and is never answered then: a new worker is
// there, but it may have read the files too early.
func (l reloader) ask(ctx context.Context, before worker) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- l.master.reload(ctx) }()
	for replaced := time.Duration(0); ; {
		select {
		case err := <-answer:
			return err
		case <-time.After(pollLast):
		}
		if now, err := l.runtime.info(ctx); err == nil && now.Pid != before.Pid {
			replaced += pollLast
		}
		if replaced > lostAfter {
			cancel()
			return errors.Join(errBusy, <-answer)
		}
	}
}

// stranger is the error of a worker that the master does not know; it may have been replaced meanwhile.
func (l reloader) stranger(ctx context.Context, before worker) error {
	if now, err := l.runtime.info(ctx); err == nil && now.Pid != before.Pid {
		return errBusy
	}
	return fmt.Errorf("reload: the master of %s has no worker %d, which answers on %s: the two sockets are of "+
		"different HAProxy processes", l.master, before.Pid, l.runtime.socket)
}

// await waits until another worker than before answers.
func (l reloader) await(ctx context.Context, before worker, failed int) error {
	stats := runtime{socket: l.runtime.socket, timeout: awaitPatience}
	for {
		after, err := stats.info(ctx)
		if err == nil && after.Pid != before.Pid {
			return nil
		}
		if err == nil && l.refused(ctx, before, failed) {
			return &ReloadError{"HAProxy " + before.Version.String() + " does not say why on its socket: " +
				"see its log, or run haproxy -c on its files"}
		}
		if wait(ctx, 2*pollFirst) != nil {
			return fmt.Errorf("reload: no new worker answers on %s in time, process %d still does; see HAProxy's log "+
				"(last word: %w)", l.runtime.socket, before.Pid, cmp.Or(err, ctx.Err()))
		}
	}
}

// refused reports whether the master has more failed reloads than before and keeps its worker: all that 2.6 lets
// one know.
func (l reloader) refused(ctx context.Context, before worker, failed int) bool {
	if l.master == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, awaitPatience)
	defer cancel()
	procs, err := l.master.procs(ctx)
	return err == nil && procs.Failed > failed && procs.has(before.Pid)
}

// byCommand runs the reload command; its whole process group is killed when the time is over.
func (l reloader) byCommand(ctx context.Context, before worker) error {
	cmd := exec.CommandContext(ctx, l.command[0], l.command[1:]...)
	output := &headBuffer{size: commandOutput}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("reload command %q: %w: %s", strings.Join(l.command, " "), explain(ctx, err),
			bytes.TrimSpace(output.text))
	}
	if err := l.await(ctx, before, 0); err != nil {
		return fmt.Errorf("reload command %q ended well, but: %w", strings.Join(l.command, " "), err)
	}
	return nil
}

// A headBuffer keeps the first bytes of what is written to it.
type headBuffer struct {
	text []byte
	size int
}

func (b *headBuffer) Write(p []byte) (int, error) {
	b.text = append(b.text, p[:min(len(p), b.size-len(b.text))]...)
	return len(p), nil
}

// wait pauses; the error is that of a context that ends meanwhile.
func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
