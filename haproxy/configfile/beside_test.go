package configfile

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/haproxy"
)

// inTheWay are what a user who can write to the directory may put in the place of a file of hapsync's.
var inTheWay = map[string]func(t *testing.T, path string) (words string){
	"a link": func(t *testing.T, path string) string {
		if err := os.Symlink(filepath.Join(filepath.Dir(path), "precious"), path); err != nil {
			t.Fatal(err)
		}
		return "is a symbolic link"
	},
	"a pipe": func(t *testing.T, path string) string {
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		return "is no regular file"
	},
	"a folder": func(t *testing.T, path string) string {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		return "directory"
	},
}

func newFilesIn(t *testing.T) *Files {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"base.cfg", "hapsync.cfg", "precious"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return &Files{Base: filepath.Join(dir, "base.cfg"), Managed: filepath.Join(dir, "hapsync.cfg")}
}

// TestAChildThatHasJustBeenForkedHoldsNoLock duplicates the descriptor of the lock file, as a fork does.
func TestAChildThatHasJustBeenForkedHoldsNoLock(t *testing.T) {
	t.Parallel()
	c := newFilesIn(t)
	unlock, err := c.Lock()
	if err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	copied := false
	for _, fd := range open {
		if path, _ := os.Readlink("/proc/self/fd/" + fd.Name()); !copied && path == filepath.Join(filepath.Dir(c.Managed), ".hapsync.cfg.lock") {
			n, _ := strconv.Atoi(fd.Name())
			child, err := unix.Dup(n)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Close(child) })
			copied = true
		}
	}
	if err := unlock(); err != nil || !copied {
		t.Fatalf("a descriptor of the lock file was copied: %t; %v", copied, err)
	}
	again, err := c.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
}

func TestNothingInTheLocksPlaceIsFollowedOrWaitedFor(t *testing.T) {
	t.Parallel()
	for name, put := range inTheWay {
		c := newFilesIn(t)
		dir := filepath.Dir(c.Managed)
		words := put(t, filepath.Join(dir, ".hapsync.cfg.lock"))
		_, err := c.Lock()
		if err == nil || !strings.Contains(err.Error(), ".hapsync.cfg.lock") || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", name, err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "precious")); err != nil || string(text) != "precious" {
			t.Errorf("%s: the file is %q, %v", name, text, err)
		}
		put(t, c.keptFile())
		if _, err := c.Kept(); err == nil || !strings.Contains(err.Error(), c.keptFile()) {
			t.Errorf("%s: the notes: %v", name, err)
		}
	}
}

func TestOnlyTheOwnerOfTheManagedFileCanOpenTheLock(t *testing.T) {
	t.Parallel()
	c := newFilesIn(t)
	path := filepath.Join(filepath.Dir(c.Managed), ".hapsync.cfg.lock")
	if err := os.WriteFile(path, []byte("process 1 (of an earlier version, which left a longer line)\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(c.Managed, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	unlock, err := c.Lock()
	if err != nil {
		t.Fatal(err)
	}
	var lock, managed unix.Stat_t
	if err := errors.Join(unix.Stat(path, &lock), unix.Stat(c.Managed, &managed)); err != nil {
		t.Fatal(err)
	}
	if lock.Mode&0o777 != 0o600 || lock.Uid != managed.Uid {
		t.Errorf("mode %o, owner %d, the managed file's is %d", lock.Mode&0o777, lock.Uid, managed.Uid)
	}
	if _, err := c.Lock(); !errors.Is(err, haproxy.ErrLocked) || !strings.Contains(err.Error(), "process ") || strings.Contains(err.Error(), "earlier") {
		t.Errorf("a second one is told: %v", err)
	}
	if err := os.WriteFile(path, []byte("\x1b[2J\x1b]0;title\a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Lock(); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("it is told %q", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := c.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
}
