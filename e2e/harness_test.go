package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// These are the names that the tests of this package have for what is in harness.

const within, requestTimeout = harness.Within, harness.Patience

var (
	eventually = harness.Eventually
	lookPath   = harness.LookPath
	cleanEnv   = harness.CleanEnv
	freeAddr   = harness.FreeAddr
	nginx      = harness.Nginx
	docker     = harness.Docker
	ask        = harness.Ask
	read       = harness.Read
)

type process struct{ *harness.Process }

func (p *process) end(t testing.TB)                      { t.Helper(); p.Kill(t) }
func (p *process) terminate(t testing.TB)                { t.Helper(); p.Terminate(t) }
func (p *process) signal(t testing.TB, s syscall.Signal) { t.Helper(); p.Signal(t, s) }
func (p *process) code(t testing.TB) int                 { t.Helper(); return p.Code(t) }
func (p *process) running() error                        { return p.Running() }
func (p *process) printed() string                       { return p.Printed() }

// startProcess starts a server in a process group of its own. The group is ended with the test, and the log shown
// where the test has failed.
func startProcess(t testing.TB, log, name string, args ...string) *process {
	t.Helper()
	return startCommand(t, log, exec.Command(name, args...))
}

func startCommand(t testing.TB, log string, cmd *exec.Cmd) *process {
	t.Helper()
	return &process{world.thread.StartProcess(t, log, cmd)}
}

// startServer starts hapsync as a server on the box, which has its log.
func (b *box) startServer(t testing.TB, log string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(b.program, args...)
	cmd.Env = append(cleanEnv(), b.env...)
	return startCommand(t, filepath.Join(b.dir, log), cmd)
}

// An answer is what a client got.
type answer struct {
	status       int
	body, cookie string
}

func (a answer) String() string { return fmt.Sprintf("%d %q", a.status, a.body) }

func answerOf(a harness.Answer, err error) (answer, error) {
	return answer{a.Status, a.Body, a.Cookie}, err
}

// get makes one request on a connection of its own.
func get(addr, domain, server string) (answer, error) {
	return answerOf(harness.Get(addr, domain, server))
}
