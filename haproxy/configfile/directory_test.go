package configfile

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

func TestADirectoryIsReadAsHAProxyReadsIt(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	write := func(t *testing.T, path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	linked := filepath.Join(outside, "linked")
	write(t, linked, "")
	for name, test := range map[string]struct {
		put     func(path string) error
		read    bool // the file behind it is loaded
		refused bool
	}{
		"a directory":           {put: func(path string) error { return os.Mkdir(path, 0o700) }},
		"a pipe":                {put: func(path string) error { return syscall.Mkfifo(path, 0o600) }},
		"a link to a directory": {put: func(path string) error { return os.Symlink(outside, path) }},
		"a link to a device":    {put: func(path string) error { return os.Symlink("/dev/null", path) }},
		"a link to a file":      {put: func(path string) error { return os.Symlink(linked, path) }, read: true},
		"a link to nowhere":     {put: func(path string) error { return os.Symlink("/nowhere/x.cfg", path) }, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
				dir := t.TempDir()
				base, at := filepath.Join(dir, "a.cfg"), filepath.Join(dir, "x.cfg")
				write(t, base, "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\nfrontend a\n    bind "+haproxytest.FreeAddr(t)+"\n")
				write(t, filepath.Join(dir, ".hidden.cfg"), "nonsense\n")
				write(t, filepath.Join(dir, "b.conf"), "nonsense\n")
				if err := test.put(at); err != nil {
					t.Fatal(err)
				}
				if out, err := exec.CommandContext(t.Context(), bin, "-c", "-f", dir).CombinedOutput(); (err != nil) != test.refused {
					t.Errorf("HAProxy: %v\n%s", err, out)
				}
				want := []string{base}
				if test.read {
					want = append(want, linked)
				}
				have, err := expand([]string{dir})
				if test.refused {
					if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), at) {
						t.Errorf("%v, %v", have, err)
					}
					return
				}
				if err != nil || !slices.Equal(have, want) {
					t.Errorf("have %v, %v, want %v", have, err, want)
				}
			})
		})
	}
}
