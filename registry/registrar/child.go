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
	exited chan struct{} // closed when it has
}

// A ChildError is how a command ended, or could not be started.
type ChildError struct {
	// Code is the exit code that a shell has for it.
	Code int
	// Err is why it could not be started; nil where it was.
	Err error
}

func (e ChildError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("start the command: %v", e.Err)
	}
	return fmt.Sprintf("the command ended with code %d", e.Code)
}

// Start starts a command in a process group of its own, so that the terminal's ^C reaches hapsync alone. For that reason it cannot read
// from a terminal, either, which would stop it at the first try: its standard input is empty then. An error is a ChildError.
func Start(words []string, stdout, stderr io.Writer) (*Child, error) {
	c := &Child{cmd: exec.Command(words[0], words[1:]...), exited: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = stdout, stderr
	if !isatty.IsTerminal(os.Stdin.Fd()) {
		c.cmd.Stdin = os.Stdin
	}
	c.cmd.SysProcAttr = ownGroup()
	started := make(chan error)
	go func() {
		// Linux ends the command with the thread that started it: this one is kept for as long as the command runs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // how it ended is in its state
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
	return ChildError{code, err}
}

// end is how the command ended, after exited: nil, or a ChildError.
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

// signal passes a signal on. A command that has ended already needs none.
func (c *Child) signal(s os.Signal) { _ = c.cmd.Process.Signal(s) }

// kill ends the command and all that it has started, unless that has left its process group.
func (c *Child) kill() {
	select {
	case <-c.exited:
	default:
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	}
}
