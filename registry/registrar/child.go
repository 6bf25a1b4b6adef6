package registrar

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/mattn/go-isatty"
)

// A Child is the command that a host is registered for.
type Child struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the command has exited
}

// A ChildError says how a command ended, or why it could not start.
type ChildError struct {
	// Code is the exit code that a shell would return.
	Code int
	// Err is why the command could not start; nil if it did.
	Err error
}

func (e ChildError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("start the command: %v", e.Err)
	}
	return fmt.Sprintf("the command ended with code %d", e.Code)
}

// Start starts a command in a process group of its own, so that only hapsync gets the terminal's ^C. A process of a background
// group is stopped when it reads from the terminal: so the command gets an empty standard input instead of a terminal. An error
// is a ChildError.
func Start(words []string, stdout, stderr io.Writer) (*Child, error) {
	c := &Child{cmd: exec.Command(words[0], words[1:]...), exited: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = stdout, stderr
	if !isatty.IsTerminal(os.Stdin.Fd()) {
		c.cmd.Stdin = os.Stdin
	}
	c.cmd.SysProcAttr = ownGroup()
	started := make(chan error)
	go func() {
		// With Pdeathsig, Linux ends the command together with the thread that started it: keep this thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // ProcessState has the result
			close(c.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, notStartedError(err)
	}
	return c, nil
}

// notStartedError has the exit code that shells use.
func notStartedError(err error) error {
	code := 126
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = 127
	}
	return ChildError{code, err}
}

// end returns how the command ended: nil, or a ChildError. To be called after exited.
func (c *Child) end() error {
	state := c.cmd.ProcessState
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return ChildError{Code: 128 + int(status.Signal())}
	}
	if code := state.ExitCode(); code != 0 {
		return ChildError{Code: code}
	}
	return nil
}

// signal sends a signal. A command that has ended needs none.
func (c *Child) signal(s os.Signal) { _ = c.cmd.Process.Signal(s) }

// kill kills the command and all processes in its group.
func (c *Child) kill() {
	select {
	case <-c.exited:
	default:
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	}
}
