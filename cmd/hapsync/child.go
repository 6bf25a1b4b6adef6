package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// A child is a command that hapsync register runs.
type child struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has
	err    error         // how; read it after exited
}

// A childError is how a command ended, or could not be started; hapsync ends with the same code.
type childError struct {
	code int
	err  error // why it could not be started
}

func (e childError) Error() string {
	if e.err != nil {
		return fmt.Sprintf("start the command: %v", e.err)
	}
	return fmt.Sprintf("the command ended with code %d", e.code)
}

// startChild starts a command in a process group of its own, so that the terminal's ^C reaches hapsync alone.
func (p program) startChild(words []string) (*child, error) {
	c := &child{cmd: exec.Command(words[0], words[1:]...), exited: make(chan struct{})}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = os.Stdin, p.stdout, p.stderr
	c.cmd.SysProcAttr = ownGroup()
	started := make(chan error)
	go func() {
		// Linux ends the command with the thread that started it: this one is kept for as long as the command runs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.err = c.cmd.Wait()
			close(c.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, notStartedError(err)
	}
	return c, nil
}

// notStartedError has the exit code that shells have for it.
func notStartedError(err error) error {
	code := 126
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = 127
	}
	return childError{code, err}
}

// end is how the command ended, after exited: nil, or a childError.
func (c *child) end() error {
	state := c.cmd.ProcessState
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return childError{code: 128 + int(status.Signal())}
	}
	if code := state.ExitCode(); code != 0 {
		return childError{code: code}
	}
	return nil
}

// signal passes a signal on. A command that has ended already needs none.
func (c *child) signal(s os.Signal) { _ = c.cmd.Process.Signal(s) }

// kill ends the command and all that it has started, unless that has left its process group.
func (c *child) kill() {
	select {
	case <-c.exited:
	default:
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	}
}
