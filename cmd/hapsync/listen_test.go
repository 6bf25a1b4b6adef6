package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestListenAddresses(t *testing.T) {
	for given, want := range map[string]listenAddress{
		"":                         {},
		"off":                      {},
		"127.0.0.1:9101":           {"tcp", "127.0.0.1:9101"},
		":9101":                    {"tcp", ":9101"},
		"[::1]:9101":               {"tcp", "[::1]:9101"},
		"localhost:http":           {"tcp", "localhost:http"},
		"/run/hapsync/agent.sock":  {"unix", "/run/hapsync/agent.sock"},
		"unix:/run/agent.sock":     {"unix", "/run/agent.sock"},
		"unix:relative/agent.sock": {"unix", "relative/agent.sock"},
	} {
		got, err := parseListen(given)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", given, got, err)
		}
		if again, err := parseListen(got.String()); err != nil || again != got {
			t.Errorf("%q is printed as %q", given, got)
		}
	}
	for _, bad := range []string{"9101", "localhost", "a:b:c", "127.0.0.1:", "127.0.0.1:99999", "unix:", "agent.sock"} {
		if got, err := parseListen(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestUnixSocketIsForOwnerAndGroup(t *testing.T) {
	dir, _ := place(t)
	where := listenAddress{"unix", filepath.Join(dir, "agent.sock")}
	l, err := where.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(where.address); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestStaleSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	dir, _ := place(t)
	where := listenAddress{"unix", filepath.Join(dir, "agent.sock")}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: where.address, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = where.listen(t.Context())
	if err == nil {
		t.Fatal("a socket that somebody answers on was replaced")
	}
	wantContains(t, "error", err.Error(), "somebody answers on "+where.address)

	left.SetUnlinkOnClose(false) // as SIGKILL leaves it
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := where.listen(t.Context())
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	l.Close()
}

func TestWhatIsNoSocketIsNotRemoved(t *testing.T) {
	path := writeFile(t, "mine")
	_, err := listenAddress{"unix", path}.listen(t.Context())
	if err == nil {
		t.Fatal("a file was replaced by a socket")
	}
	wantContains(t, "error", err.Error(), path+" is there and is no socket")
	if got := read(t, path); got != "mine" {
		t.Errorf("the file has %q", got)
	}
}
