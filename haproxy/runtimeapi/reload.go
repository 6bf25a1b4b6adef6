package runtimeapi

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

	"github.com/hapsync/hapsync/haproxy"
)

const (
	reloadTimeout = 60 * time.Second
	// masterWait is how long the master's socket may refuse connections. During a reload it does so for 50 to 200 ms.
	masterWait = 5 * time.Second
	// lostAfter is how long the answer to "reload" may take after the new worker has started.
	lostAfter = time.Second
	// askTimeout is the timeout of a single question during a reload, when the socket may pass to the new worker.
	askTimeout = 2 * time.Second
	// commandOutput is how much of a reload command's output is kept, in bytes.
	commandOutput = 16 << 10
)

var (
	// errBusy: the master already reloads.
	errBusy = errors.New("another reload is in progress")
	// errSilent: the master's answer was empty, as on 2.6.
	errSilent = errors.New("no answer")
)

// A Reloader makes HAProxy load its files.
type Reloader struct {
	// Master is the master's socket. If it is empty, Command is run, without a shell.
	Master  Master
	Command []string
	// Stats is the stats socket of the old and of the new worker.
	Stats Client
	// Timeout is for the whole reload; 0 means 60 s.
	Timeout time.Duration
	// Deaf is the worker that may have lost its stats socket; 0 if there is none.
	Deaf int
}

// Reload returns when the new worker answers. Only its own timeout interrupts it, not the end of ctx. Any error wraps ErrNotReloaded. It is
// a *ReloadError if HAProxy refuses its configuration.
func (l Reloader) Reload(ctx context.Context) error {
	if err := l.reload(ctx); err != nil {
		return failedReload{err}
	}
	return nil
}

// A failedReload marks an error as that of a reload, and does not change its text.
type failedReload struct{ error }

func (e failedReload) Unwrap() []error { return []error{e.error, haproxy.ErrNotReloaded} }

func (l Reloader) reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(l.Timeout, reloadTimeout))
	defer cancel()
	before, err := l.Stats.Info(ctx)
	if errors.Is(err, haproxy.ErrDown) && l.Master != "" {
		return l.revive(ctx, err)
	}
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	switch {
	case l.Master != "":
		return l.byMaster(ctx, before)
	case len(l.Command) > 0:
		return l.byCommand(ctx, before)
	}
	return fmt.Errorf("%w to reload: there is no way to ask it; name the master's socket with --master-socket "+
		"(haproxy -W -S <socket>), or a command with --reload-command", haproxy.ErrRefused)
}

// revive reloads a HAProxy whose worker serves without its stats socket; down is the error of that socket. The new worker has it again.
func (l Reloader) revive(ctx context.Context, down error) error {
	procs, err := l.Master.Procs(ctx)
	if err != nil || !procs.Has(l.Deaf) {
		return fmt.Errorf("reload: %w", down)
	}
	if err := l.Master.reload(ctx); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	return l.await(ctx, Worker{}, procs.Failed)
}

// byMaster asks the master, and retries while another reload is in progress.
func (l Reloader) byMaster(ctx context.Context, before Worker) error {
	for {
		err := l.once(ctx, before)
		if err == nil || !errors.Is(err, errBusy) {
			return err
		}
		if wait(ctx, pollLast) != nil {
			return err
		}
		if now, err := l.Stats.Info(ctx); err == nil {
			before = now
		}
	}
}

// once makes one attempt. errBusy means to retry.
func (l Reloader) once(ctx context.Context, before Worker) error {
	procs, err := l.Master.Procs(ctx)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	if !procs.Has(before.Pid) {
		return l.unknownWorker(ctx, before)
	}
	err = l.ask(ctx, before)
	if errors.Is(err, errSilent) && !haproxy.CapabilitiesOf(before.Version).ReloadReports {
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

// ask sends the command. During another reload the command may be lost and get no answer. A new worker then exists, but it may have read
// the files too early.
func (l Reloader) ask(ctx context.Context, before Worker) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- l.Master.reload(ctx) }()
	for replaced := time.Duration(0); ; {
		select {
		case err := <-answer:
			return err
		case <-time.After(pollLast):
		}
		if now, err := l.Stats.Info(ctx); err == nil && now.Pid != before.Pid {
			replaced += pollLast
		}
		if replaced > lostAfter {
			cancel()
			return errors.Join(errBusy, <-answer)
		}
	}
}

// unknownWorker is the error for a worker that the master does not know. It is errBusy if the worker was replaced meanwhile.
func (l Reloader) unknownWorker(ctx context.Context, before Worker) error {
	if now, err := l.Stats.Info(ctx); err == nil && now.Pid != before.Pid {
		return errBusy
	}
	return fmt.Errorf("reload: the master of %s has no worker %d, which answers on %s: the two sockets are of "+
		"different HAProxy processes", l.Master, before.Pid, l.Stats.Socket)
}

// await waits until another worker answers. In a restarted container it may have the same pid.
func (l Reloader) await(ctx context.Context, before Worker, failed int) error {
	stats := Client{Socket: l.Stats.Socket, timeout: askTimeout}
	for {
		after, err := stats.Info(ctx)
		if err == nil && !after.Same(before) {
			return nil
		}
		if err == nil && l.refused(ctx, before, failed) {
			return &haproxy.ReloadError{Output: "HAProxy " + before.Version.String() + " does not say why on its socket: " +
				"see its log, or run haproxy -c on its files"}
		}
		if wait(ctx, 2*pollFirst) != nil {
			return fmt.Errorf("reload: no new worker answers on %s in time, process %d still does; see HAProxy's log "+
				"(last word: %w)", l.Stats.Socket, before.Pid, cmp.Or(err, ctx.Err()))
		}
	}
}

// refused reports whether the master counts a new failed reload and still has its worker. 2.6 tells no more.
func (l Reloader) refused(ctx context.Context, before Worker, failed int) bool {
	if l.Master == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	procs, err := l.Master.Procs(ctx)
	return err == nil && procs.Failed > failed && procs.Has(before.Pid)
}

// byCommand runs the reload command. A timeout kills its whole process group.
func (l Reloader) byCommand(ctx context.Context, before Worker) error {
	cmd := exec.CommandContext(ctx, l.Command[0], l.Command[1:]...)
	output := &headBuffer{size: commandOutput}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return &haproxy.CommandError{Command: strings.Join(l.Command, " "), Err: explain(ctx, err), Output: string(bytes.TrimSpace(output.text))}
	}
	if err := l.await(ctx, before, 0); err != nil {
		return fmt.Errorf("reload command %q ended well, but: %w", strings.Join(l.Command, " "), err)
	}
	return nil
}

// A headBuffer keeps only the first bytes written to it.
type headBuffer struct {
	text []byte
	size int
}

func (b *headBuffer) Write(p []byte) (int, error) {
	b.text = append(b.text, p[:min(len(p), b.size-len(b.text))]...)
	return len(p), nil
}

// wait pauses. It returns the error of ctx if ctx ends before.
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
