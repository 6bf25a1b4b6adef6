package runtimeapi

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

func TestASocketTellsWhetherItsProcessIsInThisNetwork(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p := haproxytest.StartHAProxy(t, bin, "", "frontend webin\n    bind @ADDR@\n")
		if !SameNetwork(p.RuntimeSocket) {
			t.Error("HAProxy is not known to be in this network")
		}
	})
	for _, address := range []string{"127.0.0.1:1999", "ipv4@127.0.0.1:1999", filepath.Join(t.TempDir(), "none")} {
		if SameNetwork(address) {
			t.Errorf("%s: in this network", address)
		}
	}
}

func TestASocketOfAnotherNetworkNamespaceIsKnown(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	type result struct {
		l   net.Listener
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err != nil {
			done <- result{err: err}
			return
		}
		l, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
		done <- result{l, err}
	}()
	r := <-done
	if r.err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(r.err)
		}
		t.Skipf("a network namespace needs root: %v", r.err)
	}
	defer r.l.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if SameNetwork(path) {
		t.Error("the socket counts as one of this network")
	}
}
