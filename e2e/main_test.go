// Package e2e runs the built hapsync from outside, against real etcd, HAProxy and nginx, on each HAProxy of
// HAPROXY_BINARIES.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// world is what the tests of this package share.
var world struct {
	// hapsync is the path of the binary under test.
	hapsync string
	// shifted is one whose wall clock follows a file.
	shifted func() (path string, err error)
	// container is what runs in the containers.
	container func() (path string, err error)
	etcd      etcd
	starter   starter
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "hapsync-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	world.hapsync = filepath.Join(dir, "hapsync")
	build := exec.Command("go", "build", "-o", world.hapsync, "./cmd/hapsync")
	build.Dir = ".."
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", build, err)
		return 1
	}
	world.container = sync.OnceValues(func() (string, error) { return buildContainer(dir) })
	world.shifted = sync.OnceValues(func() (string, error) { return buildShifted(dir) })
	// What a master leaves behind when it is killed becomes a child of this process, which waits for it.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintf(os.Stderr, "become a subreaper: %v\n", err)
		return 1
	}
	world.starter = newStarter()
	defer world.etcd.close()
	return m.Run()
}

// A starter starts processes from one thread that lives as long as the test binary: Linux ends a child with the
// thread that started it (Pdeathsig), and so no child outlives the tests, however they end.
type starter chan func()

func newStarter() starter {
	s := make(starter)
	go func() {
		runtime.LockOSThread()
		for f := range s {
			f()
		}
	}()
	return s
}

func (s starter) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err := make(chan error)
	s <- func() { err <- cmd.Start() }
	return <-err
}

// A process is a server that a test started, with the log of what it prints.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed when it has
	err    error         // how; read it after exited
	once   sync.Once     // guards the end: the process id may be somebody else's after it
}

// startProcess starts a server in a process group of its own. The group is ended with the test, and the log shown
// where the test has failed.
func startProcess(t testing.TB, log string, name string, args ...string) *process {
	t.Helper()
	return startProcessWith(t, log, nil, name, args...)
}

// startProcessWith is startProcess with a standard input, unless that is nil.
func startProcessWith(t testing.TB, log string, stdin *os.File, name string, args ...string) *process {
	t.Helper()
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p := &process{cmd: exec.Command(name, args...), log: log, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = file, file
	if stdin != nil {
		p.cmd.Stdin = stdin
	}
	if err := world.starter.start(p.cmd); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.end(t)
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, p.printed())
		}
	})
	return p
}

// end kills the whole group and returns when nobody is left of it. It may be called more than once.
func (p *process) end(t testing.TB) {
	t.Helper()
	p.once.Do(func() { p.kill(t) })
}

func (p *process) kill(t testing.TB) {
	t.Helper()
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-p.exited
	eventually(t, fmt.Sprintf("every process of %s has ended", p.cmd.Path), func() error {
		if _, err := unix.Wait4(group, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
			return fmt.Errorf("there was still one: %w", err)
		}
		return nil
	})
}

// running is an error where the process has ended.
func (p *process) running() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended: %w\n%s", p.cmd, p.err, p.printed())
	default:
		return nil
	}
}

func (p *process) printed() string {
	text, _ := os.ReadFile(p.log)
	return string(text)
}

// lookPath finds a program that the tests cannot do without.
func lookPath(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} { // where Debian keeps servers, out of a plain user's PATH
		if err != nil && filepath.Base(name) == name {
			path, err = exec.LookPath(filepath.Join(dir, name))
		}
	}
	if err != nil {
		t.Fatalf("the tests need %s: %v (`make deps` installs it)", name, err)
	}
	return path
}

// within is how long a thing may take that takes milliseconds on an idle machine.
const within = time.Minute

// eventually polls until try succeeds; its last error is the test's when it does not in time. The longer it takes, the rarer
// it polls: many tests wait at the same time, and what they ask costs time that the machine needs for the answer.
func eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	deadline := time.After(within)
	for pause := 5 * time.Millisecond; ; pause = min(pause*5/4, 100*time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: not in time: %v", what, err)
		case <-time.After(pause):
		}
	}
}
