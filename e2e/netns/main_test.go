// Package netns makes a network of several hosts on one machine, each in a network namespace of its own, with real etcd
// members, real HAProxy and agents, and real web servers that register themselves. It cuts, kills, replaces and upgrades
// them under load. `make e2e-net` runs it, as root; without the variable HAPSYNC_NETNS it does nothing.
package netns

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// programs are the paths of what is built for the tests.
var programs struct{ hapsync, etcd, etcdutl string }

func TestMain(m *testing.M) {
	// No test runs on the main thread, which therefore stays in the namespace of the whole machine.
	runtime.LockOSThread()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv("HAPSYNC_NETNS") == "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "hapsync-netns-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// What a process leaves behind when it is killed becomes a child of this one, which waits for it.
	err = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	if err = errors.Join(err, build(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// programsEnv names a directory where the programs have been built already.
const programsEnv = "HAPSYNC_NETNS_PROGRAMS"

// build builds hapsync, and etcd's own programs as go.mod names them.
func build(dir string) error {
	for _, program := range []struct {
		path         *string
		name, source string
	}{
		{&programs.hapsync, "hapsync", "github.com/hapsync/hapsync/cmd/hapsync"},
		{&programs.etcd, "etcd", "go.etcd.io/etcd/server/v3"},
		{&programs.etcdutl, "etcdutl", "go.etcd.io/etcd/etcdutl/v3"},
	} {
		if built := os.Getenv(programsEnv); built != "" {
			*program.path = filepath.Join(built, program.name)
			continue
		}
		*program.path = filepath.Join(dir, program.name)
		cmd := exec.Command("go", "build", "-o", *program.path, program.source)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
	}
	return nil
}

// needsRoot skips a test unless `make e2e-net` runs it, which has seen to all that it takes.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getenv("HAPSYNC_NETNS") == "" {
		t.Skip("make e2e-net runs this")
	}
}

// A haproxy is a binary to test with.
type haproxy struct {
	path    string
	version int // 302 for 3.2
}

func (h haproxy) String() string { return fmt.Sprintf("%d.%d", h.version/100, h.version%100) }

// allHAProxy are the binaries of HAPROXY_BINARIES (separated by colons; haproxy of PATH without it), the oldest first.
func allHAProxy(t *testing.T) (all []haproxy) {
	t.Helper()
	for name := range strings.SplitSeq(cmp.Or(os.Getenv("HAPROXY_BINARIES"), "haproxy"), ":") {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), path, "-v").Output()
		found := regexp.MustCompile(`version (\d+)\.(\d+)`).FindSubmatch(out)
		if err != nil || found == nil {
			t.Fatalf("%s -v: %v: no version in %q", path, err, out)
		}
		major, _ := strconv.Atoi(string(found[1]))
		minor, _ := strconv.Atoi(string(found[2]))
		all = append(all, haproxy{path, 100*major + minor})
	}
	slices.SortFunc(all, func(a, b haproxy) int { return cmp.Compare(a.version, b.version) })
	return all
}

// usualHAProxy is 3.2, for what does not depend on the version, or the newest where that is not there.
func usualHAProxy(t *testing.T) haproxy {
	t.Helper()
	all := allHAProxy(t)
	if i := slices.IndexFunc(all, func(h haproxy) bool { return h.version == 302 }); i >= 0 {
		return all[i]
	}
	return all[len(all)-1]
}

// within is how long a thing may take that takes a second or two on an idle machine.
const within = time.Minute

// eventually polls until try succeeds, and returns how long that took.
func eventually(t *testing.T, what string, try func() error) time.Duration {
	t.Helper()
	start := time.Now()
	deadline := time.After(within)
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		err := try()
		if err == nil {
			return time.Since(start)
		}
		select {
		case <-deadline:
			t.Fatalf("%s: not in time: %v", what, err)
		case <-poll.C:
		}
	}
}

// cleanEnv is the environment without what would change hapsync, etcdctl or etcd.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "HAPSYNC_") || strings.HasPrefix(v, "ETCDCTL_") || strings.HasPrefix(v, "ETCD_")
	})
}
