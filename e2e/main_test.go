// Package e2e runs the built hapsync from outside, against real etcd, HAProxy and nginx, on each HAProxy of
// HAPROXY_BINARIES.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
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
	// prepared is what hapsync init writes.
	prepared prepared
	// thread starts all processes.
	thread harness.Thread
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
	err = harness.Build(world.hapsync, module+"/cmd/hapsync", nil)
	if err = errors.Join(err, harness.Reap()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	world.container = sync.OnceValues(func() (string, error) { return buildContainer(dir) })
	world.shifted = sync.OnceValues(func() (string, error) { return buildShifted(dir) })
	world.thread = harness.NewThread()
	defer world.etcd.close()
	return m.Run()
}
