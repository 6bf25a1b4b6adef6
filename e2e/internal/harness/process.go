package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Reap makes what a process leaves behind when it is killed a child of the tests, which wait for it.
func Reap() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	return nil
}

// A Thread is one of the kernel's that runs functions until the channel is closed. Linux ends a child with the thread that
// started it (Pdeathsig), and so no child outlives the tests, however they end.
type Thread chan func()

// NewThread returns a thread that lives as long as the test binary, or until it is closed.
func NewThread() Thread {
	th := make(Thread)
	go func() {
		runtime.LockOSThread() // for good: Go ends the thread with the goroutine
		for f := range th {
			f()
		}
	}()
	return th
}

// Do runs f on the thread.
func (th Thread) Do(f func() error) error {
	err := make(chan error)
	th <- func() { err <- f() }
	return <-err
}

// Start starts a command in a process group of its own, which ends with the thread.
func (th Thread) Start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return th.Do(cmd.Start)
}

// A Process is a server that a test started, with the log of what it prints.
type Process struct {
	Cmd    *exec.Cmd
	Log    string
	Exited chan struct{} // closed when it has
	from   int64         // where in the log its own words begin: one that was started again goes on in the same file
	Err    error         // how; read it after Exited
	once   sync.Once     // guards the end: another process may have the id after it
}

// Run runs a command on the thread to its end, and returns what a person sees of it.
func (th Thread) Run(t testing.TB, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err := th.Do(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), complaints.String()
}

// StartProcess starts a server, which prints to a log. Its process group is ended with the test, and the log shown where the
// test has failed.
func (th Thread) StartProcess(t testing.TB, log string, cmd *exec.Cmd) *Process {
	t.Helper()
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // a file of a test
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	before, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = file, file
	p := &Process{Cmd: cmd, Log: log, Exited: make(chan struct{}), from: before}
	if err := th.Start(cmd); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	go func() {
		p.Err = cmd.Wait()
		close(p.Exited)
	}()
	t.Cleanup(func() {
		p.Kill(t)
		if t.Failed() {
			t.Logf("%s ended (%v) and had printed to %s:\n%s", cmd, p.Err, log, p.Printed())
		}
	})
	return p
}

// Kill ends the whole group at once and returns when no process is left of it. It may be called more than once.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	p.once.Do(func() {
		group := -p.Cmd.Process.Pid
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-p.Exited
		Eventually(t, fmt.Sprintf("every process of %s has ended", p.Cmd.Path), func() error {
			if _, err := unix.Wait4(group, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
				return fmt.Errorf("there was still one: %w", err)
			}
			return nil
		})
	})
}

// Terminate ends the process as systemd does, and returns when it has ended.
func (p *Process) Terminate(t testing.TB) {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	_ = p.Code(t)
	p.Kill(t)
}

// Signal sends a signal to the process alone.
func (p *Process) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.Cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v", p.Cmd.Path, err)
	}
}

// Code waits for the end of the process.
func (p *Process) Code(t testing.TB) int {
	t.Helper()
	select {
	case <-p.Exited:
	case <-time.After(Within):
		t.Fatalf("%s does not end", p.Cmd)
	}
	return p.Cmd.ProcessState.ExitCode()
}

// Running is an error where the process has ended.
func (p *Process) Running() error {
	select {
	case <-p.Exited:
		return fmt.Errorf("%s ended: %w\n%s", p.Cmd, p.Err, p.Printed())
	default:
		return nil
	}
}

// Eventually is Eventually for what takes the process: its end ends the test at once.
func (p *Process) Eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	Eventually(t, what, func() error {
		t.Helper()
		if err := p.Running(); err != nil {
			t.Fatal(err)
		}
		return try()
	})
}

// Printed is what the process has printed so far, without what stood in its log before.
func (p *Process) Printed() string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(text[min(p.from, int64(len(text))):])
}
