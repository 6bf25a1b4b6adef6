// Package journal keeps what passes did in a file that outlives the process: one line of JSON for each, in two generations.
// Several processes may append at a time. They do not wait for the disk; they wait for each other only if the file is full.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/sync"
)

// A File is a journal on disk. The older generation has .1 after its name.
type File struct {
	Path string
	// Size is the maximum size of both generations together, in bytes.
	Size int64
	// Managed is the managed file: a user that may write it may read and write the journal.
	Managed string
}

// Beside is the default journal of a managed file.
func Beside(managed string) string {
	dir, name := filepath.Split(managed)
	return filepath.Join(dir, "."+name+".journal")
}

func (f File) older() string { return f.Path + ".1" }

// Append appends entries. Each is on a line of its own, even if the line before is broken.
func (f File) Append(entries ...sync.Entry) error {
	var lines []byte
	var errs []error
	for _, e := range entries {
		line, err := f.line(e)
		if err == nil && len(lines) > 0 && int64(len(lines)+len(line)) > f.Size/2 {
			err = f.write(lines)
			lines = nil
		}
		errs, lines = append(errs, err), append(lines, line...)
	}
	return errors.Join(append(errs, f.write(lines))...)
}

// line is an entry with as many of its changes as fit into a generation.
func (f File) line(e sync.Entry) ([]byte, error) {
	for {
		line, err := json.Marshal(e)
		if err != nil || int64(len(line)) < f.Size/2 || len(e.Changes) == 0 {
			return append(line, '\n'), err
		}
		e = e.First(len(e.Changes) / 2)
	}
}

// rotatePatience is how long a write waits for another process to rename a full file.
const rotatePatience = time.Second

func (f File) write(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	for deadline := time.Now().Add(rotatePatience); ; <-time.After(time.Millisecond) {
		if err := f.tryWrite(lines); !errors.Is(err, errFull) || time.Now().After(deadline) {
			return err
		}
	}
}

var errFull = errors.New("is full")

func (f File) tryWrite(lines []byte) error {
	file, err := configfile.OpenOwn(f.Path, f.Managed, os.O_RDWR|os.O_APPEND)
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	full := info.Size() + int64(len(lines))
	if info.Size() > 0 && full > f.Size/2 && f.rotate(file) {
		return f.tryWrite(lines)
	}
	if full > f.Size {
		return fmt.Errorf("write the journal: %s %w, and cannot be renamed to %s", f.Path, errFull, f.older())
	}
	if torn(file, info.Size()) {
		lines = append([]byte{'\n'}, lines...)
	}
	if _, err := file.Write(lines); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// rotate renames a full file to the older generation. If several processes try, one does it.
func (f File) rotate(file *os.File) bool {
	if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false
	}
	mine, err := file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(f.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, now) {
		return true // another process has renamed it
	}
	return err == nil && os.Rename(f.Path, f.older()) == nil
}

// torn reports whether the last line has no end: the disk was full, or the process was killed.
func torn(file *os.File, size int64) bool {
	last := make([]byte, 1)
	n, _ := file.ReadAt(last, max(size-1, 0))
	return n == 1 && last[0] != '\n'
}

// read returns both generations, the newer first. A missing one is empty.
func (f File) read() (generations [2][]byte, err error) {
	newer, err := configfile.OpenBeside(f.Path, os.O_RDONLY, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return generations, fmt.Errorf("read the journal: %w", err)
	}
	missing := err
	defer closeIf(newer)
	older, err := configfile.OpenBeside(f.older(), os.O_RDONLY, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return generations, fmt.Errorf("read the journal: %w", err)
	}
	defer closeIf(older)
	if missing != nil && err != nil {
		return generations, fmt.Errorf("there is no journal: %w", missing)
	}
	for i, file := range []*os.File{newer, older} {
		if file == nil || i == 1 && same(newer, older) { // rotated between the two opens
			continue
		}
		if generations[i], err = io.ReadAll(file); err != nil {
			return generations, fmt.Errorf("read the journal: %w", err)
		}
	}
	return generations, nil
}

func closeIf(file *os.File) {
	if file != nil {
		_ = file.Close()
	}
}

func same(a, b *os.File) bool {
	if a == nil || b == nil {
		return false
	}
	one, err := a.Stat()
	other, err2 := b.Stat()
	return err == nil && err2 == nil && os.SameFile(one, other)
}
