// Package netns makes a network of several hosts on one machine, each in a network namespace of its own, with real etcd
// members, real HAProxy and agents, and real web servers that register themselves. It cuts, kills, replaces and upgrades
// them under load. `make e2e-net` runs it, as root; without the variable HAPSYNC_NETNS it does nothing.
package netns

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
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
	if err = errors.Join(harness.Reap(), build(dir)); err != nil {
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
		if err := harness.Build(*program.path, program.source, nil); err != nil {
			return err
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

// allHAProxy are the binaries, the oldest first.
func allHAProxy(t *testing.T) []harness.HAProxy {
	t.Helper()
	all := harness.HAProxies(t)
	slices.SortFunc(all, func(a, b harness.HAProxy) int { return cmp.Compare(a.Version, b.Version) })
	return all
}

// usualHAProxy is 3.2, for what does not depend on the version, or the newest where that is not there.
func usualHAProxy(t *testing.T) harness.HAProxy {
	t.Helper()
	all := allHAProxy(t)
	if i := slices.IndexFunc(all, func(h harness.HAProxy) bool { return h.Version == 302 }); i >= 0 {
		return all[i]
	}
	return all[len(all)-1]
}
