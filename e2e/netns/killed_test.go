package netns

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// victimEnv tells a test binary that it is to be killed.
const victimEnv = "HAPSYNC_NETNS_VICTIM"

// TestVictim starts a whole site and waits for its end, where TestAKilledRunLeavesNothing asks for it.
func TestVictim(t *testing.T) {
	if os.Getenv(victimEnv) == "" {
		t.Skip("TestAKilledRunLeavesNothing runs this")
	}
	startServed(t, usualHAProxy(t), 1)
	fmt.Println("victim: all runs")
	<-t.Context().Done()
}

// TestAKilledRunLeavesNothing kills a run of the tests and looks for its processes and namespaces.
func TestAKilledRunLeavesNothing(t *testing.T) {
	needsRoot(t)
	victim := startVictim(t)
	family := descendants(t, victim.Process.Pid)
	spaces := namespaces(family)
	if len(family) < 13 || len(spaces) < 8 { // 3 etcd; 4 nginx, 3 of them with a registration; HAProxy's two and the agent
		t.Fatalf("the victim has %d processes in %d network namespaces: too few to learn from", len(family), len(spaces))
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()
	harness.Eventually(t, "the processes of a killed run have ended", func() error {
		for _, pid := range family {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // an orphan is this process's
			if unix.Kill(pid, 0) == nil {
				return fmt.Errorf("there is still %s", cmdline(pid))
			}
		}
		return nil
	})
	all, err := filepath.Glob("/proc/[0-9]*/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if space, _ := os.Readlink(path); slices.Contains(spaces, space) {
			t.Errorf("%s is still in a namespace of the killed run", path)
		}
	}
}

// startVictim starts a run of this test binary and returns when all of it runs.
func startVictim(t *testing.T) *exec.Cmd {
	t.Helper()
	victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$", "-test.v")
	victim.Env = append(os.Environ(), victimEnv+"=true", "TMPDIR="+harness.Dir(t), programsEnv+"="+filepath.Dir(programs.hapsync))
	out, err := victim.StdoutPipe()
	if err == nil {
		err = victim.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	printed := bufio.NewScanner(out)
	for printed.Scan() {
		if printed.Text() == "victim: all runs" {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return victim
		}
		t.Log(printed.Text())
	}
	t.Fatalf("the victim has ended: %v", victim.Wait())
	return nil
}

// descendants are the processes below one.
func descendants(t *testing.T, pid int) (all []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	children := map[int][]int{}
	for _, path := range stats {
		text, _ := os.ReadFile(path)
		_, rest, _ := strings.Cut(string(text), ") ") // behind the name of the program
		if fields := strings.Fields(rest); len(fields) > 1 {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			parent, _ := strconv.Atoi(fields[1])
			children[parent] = append(children[parent], child)
		}
	}
	for next := children[pid]; len(next) > 0; next = next[1:] {
		all = append(all, next[0])
		next = append(next, children[next[0]]...)
	}
	return all
}

// namespaces are those that the processes are in.
func namespaces(pids []int) (all []string) {
	for _, pid := range pids {
		if space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err == nil && !slices.Contains(all, space) {
			all = append(all, space)
		}
	}
	return all
}

func cmdline(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return fmt.Sprintf("%d %q", pid, text)
}
