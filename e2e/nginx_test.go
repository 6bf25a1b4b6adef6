package e2e

import (
	"path/filepath"
	"testing"
)

// A host is an nginx that answers every request with its name, and those for /slow with harness.LongName, which takes 2 s.
type host struct {
	name string
	addr string // ip:port
	*process
}

// startHost starts an nginx on a free port and returns when it answers. It ends with the test.
func startHost(t testing.TB, name string) *host {
	t.Helper()
	return startHostAt(t, name, freeAddr(t))
}

func startHostAt(t testing.TB, name, addr string) *host {
	t.Helper()
	h := &host{name: name, addr: addr}
	command := nginx(t, name, addr)
	h.process = startProcess(t, filepath.Join(t.TempDir(), "nginx.log"), command[0], command[1:]...)
	h.Eventually(t, "nginx answers on "+addr, func() error {
		got, err := get(addr, "localhost", "")
		if err == nil && got.body != name {
			t.Fatalf("%s: somebody else answers: %s", addr, got)
		}
		return err
	})
	return h
}
