package netns

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// A balancer is a machine with HAProxy and a hapsync agent beside it.
type balancer struct {
	*machine
	dir           string // short, because a socket's path is
	env           []string
	managed       string // the managed file
	master, agent *harness.Process
}

// newBalancer starts HAProxy with what hapsync init wrote. Reloads follow each other sooner than by default, and a pass may
// remove nearly all that random changes have left.
func newBalancer(t *testing.T, n *network, e *etcd, h harness.HAProxy, number int) *balancer {
	t.Helper()
	dir := harness.Dir(t)
	name := fmt.Sprintf("lb%d", number)
	b := &balancer{machine: n.machine(t, name, 20+number), dir: dir, managed: filepath.Join(dir, "hapsync.cfg")}
	b.env = []string{
		"HAPSYNC_ENDPOINTS=" + e.endpoints(), "HAPSYNC_NAME=" + name, "HAPSYNC_RELOAD_INTERVAL=500ms", "HAPSYNC_MAX_REMOVAL=90",
		"HAPSYNC_BASE_FILE=" + filepath.Join(dir, "haproxy.cfg"), "HAPSYNC_MANAGED_FILE=" + b.managed,
		"HAPSYNC_HAPROXY_BIN=" + b.binary(), "HAPSYNC_RUN_DIR=" + filepath.Join(dir, "run"),
	}
	b.install(t, h)
	b.must(t, "init")
	b.startHAProxy(t)
	return b
}

// binary is the path of HAProxy on the machine, whatever its version is.
func (b *balancer) binary() string { return filepath.Join(b.dir, "haproxy") }

// install puts a version in the place of the other as a package does: by a rename.
func (b *balancer) install(t *testing.T, h harness.HAProxy) {
	t.Helper()
	program, err := os.ReadFile(h.Path)
	if err == nil {
		err = os.WriteFile(b.binary()+".new", program, 0o755)
	}
	if err = errors.Join(err, os.Rename(b.binary()+".new", b.binary())); err != nil {
		t.Fatal(err)
	}
}

func (b *balancer) startHAProxy(t *testing.T) {
	t.Helper()
	b.master = b.start(t, nil, b.binary(), "-W", "-S", filepath.Join(b.dir, "run/haproxy-master.sock"),
		"-f", filepath.Join(b.dir, "haproxy.cfg"), "-f", b.managed)
	b.master.Eventually(t, "HAProxy answers", func() error {
		_, err := b.worker()
		return err
	})
}

func (b *balancer) startAgent(t *testing.T) {
	t.Helper()
	b.agent = b.start(t, b.env, programs.hapsync, "agent")
}

// An outcome is what a person sees of a run of hapsync.
type outcome struct {
	code           int
	stdout, stderr string
}

func (o outcome) String() string {
	return fmt.Sprintf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
}

// hapsync runs a command on the machine.
func (b *balancer) hapsync(t *testing.T, args ...string) outcome {
	t.Helper()
	cmd := b.command(t.Context(), programs.hapsync, args...)
	cmd.Env = append(cmd.Env, b.env...)
	code, stdout, stderr := b.thread.Run(t, cmd)
	return outcome{code, stdout, stderr}
}

func (b *balancer) must(t *testing.T, args ...string) outcome {
	t.Helper()
	o := b.hapsync(t, args...)
	if o.code != 0 {
		t.Fatalf("%s: hapsync %s: %s", b.name, strings.Join(args, " "), o)
	}
	return o
}

// readyz is an error, with the agent's reason, unless the agent is ready.
func (b *balancer) readyz() error {
	c := b.httpClient("127.0.0.1:9101")
	c.Path = "/readyz"
	a, err := c.Get("localhost", "", "close")
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("%s", a)
	}
	return err
}

func (b *balancer) ready(t *testing.T) {
	t.Helper()
	b.agent.Eventually(t, "the agent of "+b.name+" is ready", func() error {
		return b.readyz()
	})
}

// unready waits until the agent says in /readyz and hapsync status, with its code, what is wrong.
func (b *balancer) unready(t *testing.T, code int, words string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("the agent of %s is not ready: %s", b.name, words), func() error {
		if why := fmt.Sprint(b.readyz()); !strings.Contains(why, words) {
			return fmt.Errorf("/readyz says %s", why)
		}
		if o := b.hapsync(t, "status"); o.code != code || !strings.Contains(o.stdout, words) {
			return fmt.Errorf("hapsync status: %s", o)
		}
		return nil
	})
}

// settles waits until registry, file and process say the same.
func (b *balancer) settles(t *testing.T) {
	t.Helper()
	harness.Eventually(t, b.name+" is in line", func() error {
		if o := b.hapsync(t, "plan", "--detailed-exitcode"); o.code != 0 || !strings.Contains(o.stdout, "in line: ") {
			return fmt.Errorf("%s", o)
		}
		return nil
	})
}

// file is the managed file, without the rule that reads a map beside it, because each machine has a directory of its own here, and without
// the spare backends, which are not of each version.
func (b *balancer) file(t *testing.T) string {
	t.Helper()
	var kept []string
	for section := range strings.SplitSeq(harness.Read(t, b.managed), "\n\n") {
		if strings.HasPrefix(section, "backend hapsync-spare-") {
			continue
		}
		for line := range strings.Lines(section) {
			if !strings.Contains(line, ".domains.map)") {
				kept = append(kept, line)
			}
		}
	}
	return strings.Join(kept, "")
}

// info is a line of the worker's "show info".
func (b *balancer) info(field string) (string, error) {
	reply, err := harness.Ask(filepath.Join(b.dir, "run/haproxy.sock"), "show info")
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)^` + field + `: (.*)$`).FindStringSubmatch(reply)
	if found == nil {
		return "", fmt.Errorf("no %s in %q", field, reply)
	}
	return found[1], nil
}

// worker is the process that serves.
func (b *balancer) worker() (int, error) {
	pid, err := b.info("Pid")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(pid)
}
