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

	"github.com/hapsync/hapsync/haproxy"
)

// digestOf names the exact bytes of a file.
func digestOf(text string) haproxy.Digest {
	sum := sha256.Sum256([]byte(text))
	return haproxy.Digest(hex.EncodeToString(sum[:]))
}

// ReadText reads a file through its links; a missing one is "" without an error.
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

// resolve follows links, so that a link stays one; a file that is not there yet is taken as it is named.
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

// A candidate is a file that may take the place of another: beside it, so that the rename is atomic and relative
// paths in it mean the same; hidden, so that a HAProxy that loads the whole directory does not see it.
type candidate struct {
	path, target string
	// volatile is set for what need not outlive a crash of the machine: it is not waited for until it is on the disk.
	volatile bool
}

// newCandidate writes text beside target, with the mode and owner of the file like, and sees it onto the disk.
// Leftovers of a killed process are written over.
func newCandidate(target, like, text string) (candidate, error) {
	dir, name := filepath.Split(target)
	c := candidate{path: filepath.Join(dir, "."+name+".new"), target: target}
	return c, c.fill(text, like)
}

func (c candidate) fill(text, like string) error {
	if err := c.write(text, like); err != nil {
		_ = c.discard() // whatever keeps it from being written keeps it from being removed
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
	defer f.Close() // for the errors on the way; the last line has its own
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

// install puts the candidate in the target's place and sees that onto the disk. The target is the old file or the new
// one at any moment.
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

// Replace is newCandidate and install in one, for files that need no validation.
func Replace(path, like, text string) error {
	c, err := newCandidate(path, like, text)
	if err != nil {
		return err
	}
	return c.install()
}

// ReplaceVolatile is replaceFile for what is of use only as long as the machine runs.
func ReplaceVolatile(path, like, text string) error {
	c := candidate{path: path + ".new", target: path, volatile: true}
	if err := c.fill(text, like); err != nil {
		return err
	}
	return c.install()
}
