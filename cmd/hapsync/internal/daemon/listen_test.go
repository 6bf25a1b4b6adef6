package daemon

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenAddresses(t *testing.T) {
	for given, want := range map[string]Address{
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
		got, err := ParseAddress(given)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", given, got, err)
		}
		if again, err := ParseAddress(got.String()); err != nil || again != got {
			t.Errorf("%q is printed as %q", given, got)
		}
	}
	for _, bad := range []string{"9101", "localhost", "a:b:c", "127.0.0.1:", "127.0.0.1:99999", "unix:", "agent.sock"} {
		if got, err := ParseAddress(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestUnixSocketIsForOwnerAndGroup(t *testing.T) {
	dir := t.TempDir()
	where := Address{Network: "unix", Address: filepath.Join(dir, "agent.sock")}
	l, err := where.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(where.Address); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestStaleSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	dir := t.TempDir()
	where := Address{Network: "unix", Address: filepath.Join(dir, "agent.sock")}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: where.Address, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = where.listen(t.Context())
	if err == nil {
		t.Fatal("a socket that a process answers on was replaced")
	}
	if want := "a process answers on " + where.Address; !strings.Contains(err.Error(), want) {
		t.Errorf("%s lacks %q: %s", "error", want, err.Error())
	}

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
	path := filepath.Join(t.TempDir(), "agent.sock")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Address{Network: "unix", Address: path}.listen(t.Context())
	if err == nil {
		t.Fatal("a file was replaced by a socket")
	}
	if want := path + " is there and is no socket"; !strings.Contains(err.Error(), want) {
		t.Errorf("%s lacks %q: %s", "error", want, err.Error())
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("the file has %q, %v", text, err)
	}
}
