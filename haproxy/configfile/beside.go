package configfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/haproxy"
)

// Beside is the path of a hidden file of hapsync's beside another file: .NAME.SUFFIX in the same directory.
func Beside(path, suffix string) string {
	dir, name := filepath.Split(path)
	return filepath.Join(dir, "."+name+"."+suffix)
}

// OpenBeside opens a file of hapsync's beside the managed file, or beside another file of HAProxy's. Other users may be able to write to that
// directory. So it follows no symbolic link, does not wait for the other end of a pipe, and opens only a regular file.
func OpenBeside(path string, flags int, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, mode)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("%s is a symbolic link, and hapsync keeps a file of its own there: remove it", path)
	case errors.Is(err, unix.ENXIO):
		return nil, notRegular(path)
	case err != nil:
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func notRegular(path string) error {
	return fmt.Errorf("%s is no regular file, and hapsync keeps one of its own there: remove it", path)
}

// ReadBeside reads a file of hapsync's beside the managed file. A missing one is "" without an error.
func ReadBeside(path string) (text string, there bool, err error) {
	f, err := OpenBeside(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	text, err = readAll(f)
	return text, true, err
}

// FirstLineBeside reads only the first line of a file of hapsync's beside the managed file, with its line end. A missing one is "" without an
// error.
func FirstLineBeside(path string) (string, error) {
	f, err := OpenBeside(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	first, err := bufio.NewReader(f).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return first, err
}

// Keep stores a text beside the managed file. It survives this process, but not a crash of the machine.
func (c *Files) Keep(memo []byte) error {
	return ReplaceVolatile(c.keptFile(), c.Managed, string(memo))
}

// Kept is the text of the last Keep; nil if there is none.
func (c *Files) Kept() ([]byte, error) {
	text, there, err := ReadBeside(c.keptFile())
	if !there {
		return nil, err
	}
	return []byte(text), err
}

func (c *Files) keptFile() string { return Beside(c.Managed, "agent") }

// Lock makes this process the only writer of the managed file until unlock is called. It locks a file beside it; the system releases the lock
// when the process ends in any way. An error that wraps ErrLocked names the other writer. Only users who may write the managed file can open
// the lock file, since everyone who can open it can lock it.
func (c *Files) Lock() (unlock func() error, err error) {
	path := Beside(c.Managed, "lock")
	f, err := OpenOwn(path, c.Managed, os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%w on %s: %s; wait for it to end", haproxy.ErrLocked, c.Managed, holder(f))
		}
		return nil, errors.Join(err, f.Close())
	}
	// The text is only for people: if it cannot be written (a full disk), the lock still holds.
	_ = f.Truncate(0)
	_, _ = f.WriteAt(fmt.Appendf(nil, "process %d (%s)\n", os.Getpid(), filepath.Base(os.Args[0])), 0)
	c.ForgetPrevious() // Restore must not restore what an earlier pass replaced
	return func() error {
		// Closing is not enough: a child that was just forked, and does not run its own program yet, has the file open, too.
		return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
	}, nil
}

// OpenOwn opens or creates a file like OpenBeside. Only users who may write the managed file can open it.
func OpenOwn(path, managed string, flags int) (*os.File, error) {
	f, err := OpenBeside(path, flags|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrPermission) && ownedByThisUser(managed) { // the managed file had another owner before
		if err = os.Remove(path); err == nil {
			f, err = OpenBeside(path, flags|os.O_CREATE, 0o600)
		}
	}
	if err != nil {
		return nil, err
	}
	_ = ownedLike(f, managed) // on an error the owner and the mode stay
	return f, nil
}

func ownedByThisUser(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// ownedLike gives a file to the users who may write another one.
func ownedLike(f *os.File, like string) error {
	info, err := os.Stat(like)
	if err != nil {
		return errors.Join(f.Chmod(0o600), err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		err = f.Chown(int(stat.Uid), int(stat.Gid))
	}
	mode := fs.FileMode(0o600)
	if info.Mode().Perm()&0o020 != 0 {
		mode = 0o660
	}
	return errors.Join(f.Chmod(mode), err)
}

// holder is the text of the lock's owner in the lock file.
func holder(f *os.File) string {
	text := make([]byte, 200)
	n, _ := f.ReadAt(text, 0)
	line, _, _ := strings.Cut(string(text[:n]), "\n")
	if line == "" {
		return "an unknown process"
	}
	if quoted := strconv.Quote(line); quoted != `"`+line+`"` {
		return quoted
	}
	return line
}
