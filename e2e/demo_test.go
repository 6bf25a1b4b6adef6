package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// demoBinary builds hapsync-demo, once, into the directory of the hapsync under test.
var demoBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(world.hapsync), "hapsync-demo")
	return path, harness.Build(path, module+"/cmd/hapsync-demo", nil)
})

// demoStarts is held while a demo chooses its ports: two at once would find the same ones free.
var demoStarts sync.Mutex

// startDemo starts the demo with a standard input, which is closed after that, and returns when its ports are taken.
func startDemo(t *testing.T, h haproxy, stdin *os.File) *process {
	t.Helper()
	defer stdin.Close()
	binary, err := demoBinary()
	if err != nil {
		t.Fatal(err)
	}
	demoStarts.Lock()
	defer demoStarts.Unlock()
	dir := harness.Dir(t)
	command := exec.Command("env", "TMPDIR="+dir, binary, "--hapsync", world.hapsync, "--haproxy", h.path)
	command.Stdin = stdin
	demo := startCommand(t, filepath.Join(dir, "demo.log"), command)
	demo.Eventually(t, "the demo's HAProxy answers", func() error {
		if !strings.Contains(demo.printed(), "ok: HAProxy answers") {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	return demo
}

// terminal opens a new terminal; the other end stays open until the test has ended.
func terminal(t *testing.T) *os.File {
	t.Helper()
	other, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	number, err := unix.IoctlGetInt(int(other.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(other.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTheDemoEndsByItselfWithoutATerminal(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	demo := startDemo(t, latestHAProxy(t), null)
	eventually(t, "the demo ends", func() error {
		if demo.running() == nil {
			return fmt.Errorf("it runs")
		}
		return nil
	})
	if said := demo.printed(); demo.Err != nil || !strings.Contains(said, "That was the tour") {
		t.Errorf("%v\n%s", demo.Err, said)
	}
}

// tellsTheStory fails the test unless a tour shows the agent at work, and nothing that is not for a playground.
func tellsTheStory(t *testing.T, tour string) {
	t.Helper()
	for _, want := range []string{
		`(?m)^  \$ hapsync agent .*&$`, `(?m)^  ok: served from there \d+\.\d ms after etcd was told, without a reload$`,
		`(?m)^  in rotation: a\.abc\.com/server1: UP`, `(?m)^  applied by 1 agent at revision \d+, no session is left$`,
		`(?m)^  ok: 20 of 20 requests are answered, by server1$`, `(?m)^  not in rotation: a\.abc\.com/server2: its check fails: L4CON`,
	} {
		if !regexp.MustCompile(want).MatchString(tour) {
			t.Errorf("the tour does not say %s:\n%s", want, tour)
		}
	}
	for _, advice := range []string{"systemctl", "/etc/default/haproxy", "EXTRAOPTS"} {
		if strings.Contains(tour, advice) {
			t.Errorf("the tour says %q, which is not for a playground", advice)
		}
	}
}

func TestTheDemoTellsItsStoryAndWhatItProposesCanBeTyped(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		lookPath(t, "etcdctl")
		demo := startDemo(t, h, terminal(t))
		demo.Eventually(t, "the tour ends", func() error {
			if !strings.Contains(demo.printed(), "Ctrl-C here ends all of it") {
				return fmt.Errorf("it goes on")
			}
			return nil
		})
		said := demo.printed()
		tour, next, _ := strings.Cut(said, "That was the tour")
		tellsTheStory(t, tour)
		shell := strings.Join(regexp.MustCompile(`(?m)^export .*$`).FindAllString(next, -1), "\n")
		commands := regexp.MustCompile(`(?m)^  (?:etcdctl|curl|hapsync) .*$`).FindAllString(next, -1)
		typed := regexp.MustCompile(`(?m)^  \$ (printf .*)$`).FindStringSubmatch(said)
		if len(commands) < 12 || typed == nil {
			t.Fatalf("only %d commands are proposed:\n%s", len(commands), said)
		}
		for _, command := range slices.Concat(typed[1:], commands) {
			eventually(t, command, func() error { return asPrinted(t, shell, strings.TrimSpace(command)) })
		}

		if err := syscall.Kill(demo.Cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		<-demo.Exited
		if demo.Err != nil {
			t.Errorf("after Ctrl-C: %v", demo.Err)
		}
		dir := regexp.MustCompile(`The files and the logs: +(\S+)`).FindStringSubmatch(next)
		if _, err := os.Stat(dir[1]); !os.IsNotExist(err) {
			t.Errorf("%s stays behind: %v", dir[1], err)
		}
	})
}

// asPrinted types a command that the demo proposes, after the lines that are to be pasted first. It is an error unless it
// does what the demo says.
func asPrinted(t *testing.T, first, command string) error {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", first+"\n"+command)
	cmd.Env = cleanEnv()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	for of, want := range map[string]string{
		"printf": "SUCCESS", "curl --resolve": "a.abc.com server1", "curl -H 'Host: c.abc.com'": "c.abc.com server1",
		"curl -b SERVERID=server2": "a.abc.com server1", "hapsync plan": "in line", "hapsync status": "ready", "hapsync agents": "1 agent",
	} {
		if strings.HasPrefix(command, of) && !strings.Contains(string(out), want) {
			return fmt.Errorf("%s prints %q without %q", command, out, want)
		}
	}
	return nil
}
