package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process is a server that runs on a machine.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed when it has
	err    error         // how; read it after exited
	once   sync.Once     // guards the end: the process id may be somebody else's after it
}

// start starts a server in a process group of its own. It ends with the test, and with the machine's thread, which is to
// say with the tests, however they end. Where the test has failed its log is shown.
func (m *machine) start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &process{cmd: exec.Command(name, args...), log: log.Name(), exited: make(chan struct{})}
	p.cmd.Env = append(cleanEnv(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := m.on(p.cmd.Start); err != nil {
		t.Fatalf("%s: %v", m.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill(t)
		if t.Failed() {
			t.Logf("%s: %s: %v\n%s", m.name, p.cmd, p.err, p.printed())
		}
	})
	return p
}

// kill ends the whole group at once and returns when nobody is left of it. It may be called more than once.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.once.Do(func() {
		group := -p.cmd.Process.Pid
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-p.exited
		eventually(t, fmt.Sprintf("every process of %s has ended", p.cmd.Path), func() error {
			if _, err := unix.Wait4(group, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
				return fmt.Errorf("there was still one: %w", err)
			}
			return nil
		})
	})
}

// terminate ends the process as systemd does, and returns when it has ended.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("%s: %v", p.cmd, err)
	}
	select {
	case <-p.exited:
	case <-time.After(within):
		t.Fatalf("%s does not end", p.cmd)
	}
	p.kill(t)
}

// running is an error where the process has ended.
func (p *process) running() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended: %w", p.cmd, p.err)
	default:
		return nil
	}
}

// printed is the end of what the process has logged.
func (p *process) printed() string {
	text, _ := os.ReadFile(p.log)
	lines := strings.SplitAfter(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-200):], "")
}
