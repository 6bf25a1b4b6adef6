package configfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/haproxy"
)

// digestOf identifies the exact bytes of a text.
func digestOf(text string) haproxy.Digest {
	sum := sha256.Sum256([]byte(text))
	return haproxy.Digest(hex.EncodeToString(sum[:]))
}

// ReadText reads a file through symbolic links. A missing one is "" without an error.
func ReadText(path string) (text string, digest haproxy.Digest, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	text = string(data)
	return text, digestOf(text), nil
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

// A candidate is a file that may replace another one. It is in the same directory, so that the rename is atomic, and relative paths in it
// mean the same. It is hidden, so that a HAProxy that loads the whole directory does not read it.
type candidate struct {
	path, target string
	// volatile is set if the file need not survive a crash of the machine: it is not synced to the disk.
	volatile bool
}

// newCandidate writes text beside target, with the mode and owner of the file like, and syncs it. It overwrites what a killed process left.
func newCandidate(target, like, text string) (candidate, error) {
	c := candidate{path: Beside(target, "new"), target: target}
	return c, c.fill(text, like)
}

func (c candidate) fill(text, like string) error {
	if err := c.write(text, like); err != nil {
		_ = c.discard() // if this fails, too, the first error is enough
		return fmt.Errorf("write beside %s: %w (hapsync must be able to create files in that directory)", c.target, err)
	}
	return nil
}

func (c candidate) write(text, like string) error {
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
	if _, err := f.WriteString(text); err != nil {
		return err
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
	if c.volatile {
		return f.Close()
	}
	if err := f.Sync(); err != nil {
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

// Replace is newCandidate and install, for files that HAProxy need not check.
func Replace(path, like, text string) error {
	c, err := newCandidate(path, like, text)
	if err != nil {
		return err
	}
	return c.install()
}

// ReplaceVolatile is Replace for files that need not survive a crash of the machine.
func ReplaceVolatile(path, like, text string) error {
	c := candidate{path: path + ".new", target: path, volatile: true}
	if err := c.fill(text, like); err != nil {
		return err
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
