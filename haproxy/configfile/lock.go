package configfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/hapsync/hapsync/haproxy"
)

// Lock makes this process the only writer of the managed file until unlock is called, by an exclusive lock on a file
// beside it, which the system gives back when the process ends in whatever way. An error that wraps ErrLocked says who
// holds it.
func (c *Files) Lock() (unlock func() error, err error) {
	dir, name := filepath.Split(c.Managed)
	path := filepath.Join(dir, "."+name+".lock")
	lock := flock.New(path, flock.SetPermissions(0o644))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !ok {
		return nil, errors.Join(fmt.Errorf("%w on %s: %s; wait for it to end", haproxy.ErrLocked, c.Managed, holder(path)), lock.Close())
	}
	// Who cannot write it (another user's lock file, a full disk) is locked out of nothing: the lock is what counts.
	_ = os.WriteFile(path, fmt.Appendf(nil, "process %d (%s)\n", os.Getpid(), filepath.Base(os.Args[0])), 0o644)
	c.ForgetPrevious() // what an earlier pass replaced is not this one's to restore
	return lock.Close, nil
}

// holder is what the owner of the lock wrote into it.
func holder(path string) string {
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return "an unknown process"
	}
	return strings.TrimSpace(string(text))
}
