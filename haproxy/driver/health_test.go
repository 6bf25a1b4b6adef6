package driver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

func TestTheHealthFileIsReplacedAsAWholeAndKeepsItsMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	for _, step := range []struct {
		write func() error
		text  string
		mode  os.FileMode
	}{
		{func() error { return writeHealth(path, []byte("1\nx\n")) }, "1\nx\n", 0o644},
		{func() error { return os.Chmod(path, 0o600) }, "1\nx\n", 0o600},
		{func() error { return writeHealth(path, []byte("1\n")) }, "1\n", 0o600},
		{func() error { return clearHealth(path) }, runtimeapi.NoHealth, 0o600},
	} {
		if err := step.write(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		stat, err := os.Stat(path)
		if err != nil || string(text) != step.text || stat.Mode().Perm() != step.mode {
			t.Errorf("%q mode %v, want %q mode %v", text, stat.Mode(), step.text, step.mode)
		}
	}
	if err := writeHealth(filepath.Join(path, "below"), nil); err == nil || !strings.Contains(err.Error(), "server-state file") {
		t.Errorf("error %v", err)
	}
}

func TestHealthThatAKilledProcessLeftIsClearedWithTheLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state, base, managed := filepath.Join(dir, "state"), filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "hapsync.cfg")
	line := "3 a.com_cluster 1 s1 10.0.0.1 0 0 1 1 2 8 2 0 6 0 0 0 - 10000 - 0 0 - - 0\n"
	files := map[string]string{
		base:    "global\n    server-state-file " + state + "\ndefaults\n    mode http\n    load-server-state-from-file global\n",
		managed: "frontend webin\n    bind :80\n",
	}
	for file, text := range files {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ before, after string }{
		"ours":            {"1\n" + runtimeapi.OneReload + line, runtimeapi.NoHealth},
		"the operator's":  {runtimeapi.NoHealth + line, runtimeapi.NoHealth + line},
		"nothing special": {"1\n", "1\n"},
	} {
		if err := os.WriteFile(state, []byte(c.before), 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := Open(haproxy.Settings{BaseFile: base, ManagedFile: managed, Binary: haproxytest.FirstHAProxy(t)})
		if err != nil {
			t.Fatal(err)
		}
		unlock, err := h.Lock()
		if err != nil {
			t.Fatal(err)
		}
		if err := unlock(); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(state); err != nil || string(text) != c.after {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}
