package configfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/haproxy"
)

// digestOf identifies the exact bytes of a text.
func digestOf(text string) haproxy.Digest {
	digest, _ := digestFrom(strings.NewReader(text)) // a text has no errors
	return digest
}

func digestFrom(r io.Reader) (haproxy.Digest, error) {
	h := sha256.New()
	_, err := io.Copy(h, struct{ io.Reader }{r}) // in pieces: no copy of the whole text
	return haproxy.Digest(hex.EncodeToString(h.Sum(nil))), err
}

// ReadText reads a file through symbolic links. A missing one is "" without an error.
func ReadText(path string) (text string, digest haproxy.Digest, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	if text, err = readAll(f); err != nil {
		return "", "", err
	}
	return text, digestOf(text), nil
}

// readAll reads a file into one text of its size.
func readAll(f *os.File) (string, error) {
	var b strings.Builder
	if info, err := f.Stat(); err == nil {
		b.Grow(int(info.Size()))
	}
	_, err := io.Copy(&b, struct{ io.Reader }{f})
	return b.String(), err
}

// resolve follows symbolic links, so that they stay links. A missing file keeps its name.
func resolve(path string) (string, error) {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return filepath.Abs(path)
	}
	if err != nil {
		return "", err
	}
	return filepath.Abs(target)
}

// digestOfFile is the digest that ReadText returns.
func digestOfFile(path string) (haproxy.Digest, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digestFrom(f)
}

// A candidate is a file that may replace another one. It is in the same directory, so that the rename is atomic, and relative paths in it
// mean the same. It is hidden, so that a HAProxy that loads the whole directory does not read it.
type candidate struct {
	path, target string
	// volatile is set if the file need not survive a crash of the machine: it is not synced to the disk.
	volatile bool
}

// newCandidate writes text beside target, with the mode and owner of the file like. It overwrites what a killed process left. The
// candidate must be synced before it is installed.
func newCandidate(target, like, text string) (candidate, error) {
	c := candidate{path: Beside(target, "new"), target: target}
	return c, c.fill(like, text)
}

func (c candidate) fill(like string, text ...string) error {
	if err := c.write(like, text); err != nil {
		return c.failed(err)
	}
	return nil
}

// failed discards the candidate after an error of writing it.
func (c candidate) failed(err error) error {
	_ = c.discard() // if this fails, too, the first error is enough
	return fmt.Errorf("write beside %s: %w (hapsync must be able to create files in that directory)", c.target, err)
}

// sync writes the candidate to the disk.
func (c candidate) sync() error {
	f, err := os.Open(c.path)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return c.failed(err)
	}
	return nil
}

func (c candidate) write(like string, text []string) error {
	if err := c.discard(); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	info, err := os.Stat(like)
	if err == nil {
		mode = info.Mode().Perm()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(c.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() // after an error; otherwise the last line returns the error of Close
	for _, part := range text {
		if _, err := f.WriteString(part); err != nil {
			return err
		}
	}
	if info != nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && (int(stat.Uid) != os.Geteuid() || int(stat.Gid) != os.Getegid()) {
			if err := f.Chown(int(stat.Uid), int(stat.Gid)); err != nil {
				return fmt.Errorf("keep the owner: %w", err)
			}
		}
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return f.Close()
}

// install renames the candidate to the target, and syncs the directory. At any moment the target is either the old or the new file.
func (c candidate) install() error {
	if err := os.Rename(c.path, c.target); err != nil {
		return err
	}
	if c.volatile {
		return nil
	}
	return syncDir(filepath.Dir(c.target))
}

func (c candidate) discard() error {
	if err := os.Remove(c.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Replace writes, syncs and installs a candidate, for files that HAProxy need not check.
func Replace(path, like, text string) error {
	return candidate{path: Beside(path, "new"), target: path}.replace(like, text)
}

// ReplaceVolatile is Replace for files that need not survive a crash of the machine. The text is in parts.
func ReplaceVolatile(path, like string, text ...string) error {
	return candidate{path: path + ".new", target: path, volatile: true}.replace(like, text...)
}

func (c candidate) replace(like string, text ...string) error {
	if err := c.fill(like, text...); err != nil {
		return err
	}
	if !c.volatile {
		if err := c.sync(); err != nil {
			return err
		}
	}
	return c.install()
}

// Unwritable says why a new managed file could not be installed, as far as can be seen now: its directory is not writable, or its disk has
// no room for a file of this size.
func (c *Files) Unwritable(size int) error {
	dir := filepath.Dir(c.Managed)
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s cannot be replaced: %s: %w (hapsync must be able to create files in that directory)", c.Managed, dir, err)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil || disk.Blocks == 0 {
		return nil //nolint:nilerr // unknown
	}
	if room := disk.Bfree * uint64(disk.Bsize); room <= uint64(size) {
		return fmt.Errorf("%s cannot be replaced: %s has %d bytes of room: %w", c.Managed, dir, room, unix.ENOSPC)
	}
	return nil
}
