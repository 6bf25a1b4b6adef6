package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// onTerminal starts hapsync on a terminal of its own. What that shows is what the process prints.
func (b *box) onTerminal(t *testing.T, args ...string) *process {
	t.Helper()
	line := strings.Join(append([]string{b.program}, args...), " ")
	cmd := exec.Command(harness.LookPath(t, "script"), "--quiet", "--return", "--flush", "--command", line, "/dev/null")
	cmd.Env = append(append(cleanEnv(), b.env...), "TERM=xterm")
	return startCommand(t, filepath.Join(b.dir, args[0]+".terminal"), cmd)
}

func (p *process) shows(t *testing.T, pattern string) {
	t.Helper()
	p.Eventually(t, "the terminal shows "+pattern, func() error {
		if !regexp.MustCompile(pattern).MatchString(p.printed()) {
			return errors.New(p.printed())
		}
		return nil
	})
}

// TestATerminalSaysWhichAgentIsWaitedFor has one agent of three that is stopped.
func TestATerminalSaysWhichAgentIsWaitedFor(t *testing.T) {
	t.Parallel()
	b, agents := startThree(t, firstHAProxy(t))
	agents[1].signal(t, syscall.SIGSTOP)
	p := b.onTerminal(t, "weight", "--wait", "--wait-timeout", "10m", "a.abc.com/server1", "5")
	p.shows(t, `\Qwaiting for a2: it has applied revision \E\d+, the write is \d+; \d+ s left`)
	agents[1].signal(t, syscall.SIGCONT)
	if code := p.code(t); code != 0 {
		t.Errorf("ended with %d", code)
	}
	if !strings.Contains(p.printed(), "\r\x1b[Kapplied by 3 agents at revision ") {
		t.Errorf("it shows %q", p.printed())
	}
}

// TestATerminalSaysThatHAProxyTakesLong has a haproxy -c that takes as long as the test likes.
func TestATerminalSaysThatHAProxyTakesLong(t *testing.T) {
	t.Parallel()
	b := startBox(t, firstHAProxy(t))
	b.wrap(t, "while [ ! -e go ]; do sleep 0.1; done")
	b.register(t, "a.abc.com/server1", startHost(t, "one").addr)
	p := b.onTerminal(t, "sync")
	p.shows(t, `\Q[##------] step 2 of 4: waiting for haproxy -c, \E[1-9]\d* s`)
	if err := os.WriteFile(filepath.Join(b.dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 0 {
		t.Errorf("ended with %d: %s", code, p.printed())
	}
	if !regexp.MustCompile(`(?s)\r\x1b\[K\x1b\[32mtransaction .*\napplied: `).MatchString(p.printed()) {
		t.Errorf("it shows %q", p.printed())
	}
}
