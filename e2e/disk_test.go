package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk holds a box's managed file. Root gets a small file system of its own; who may not mount one gets the next
// best: a directory's mode, and a limit on the size of files.
type disk struct {
	*box
	dir     string
	mounted bool
}

const page = 4096

func newDisk(t *testing.T, b *box) *disk {
	t.Helper()
	d := &disk{box: b, dir: filepath.Join(b.dir, "disk")}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	err := unix.Mount("tmpfs", d.dir, "tmpfs", 0, fmt.Sprintf("size=%d", 32*page))
	d.mounted = err == nil
	switch {
	case d.mounted:
		t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	case os.Geteuid() == 0:
		t.Fatalf("mount a tmpfs on %s: %v (root needs CAP_SYS_ADMIN for this test; a plain user needs nothing)", d.dir, err)
	}
	b.files(b.baseFile, filepath.Join(d.dir, "hapsync.cfg"))
	b.init(t)
	b.start(t)
	return d
}

// writable makes the disk read-only, or writable again.
func (d *disk) writable(t *testing.T, yes bool) {
	t.Helper()
	var err error
	switch {
	case !d.mounted && yes:
		err = os.Chmod(d.dir, 0o755)
	case !d.mounted:
		err = os.Chmod(d.dir, 0o555)
	case yes:
		err = unix.Mount("", d.dir, "", unix.MS_REMOUNT, "")
	default:
		err = unix.Mount("", d.dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sync runs it with so many pages left on the disk, and makes room again.
func (d *disk) sync(t *testing.T, pages int64) outcome {
	t.Helper()
	if !d.mounted {
		return d.syncLimited(t, pages)
	}
	defer d.fill(t, pages)()
	return d.hapsync(t, "sync")
}

// fill leaves so many pages on the disk, until room is made again.
func (d *disk) fill(t *testing.T, pages int64) (makeRoom func()) {
	t.Helper()
	fill := filepath.Join(d.dir, "fill")
	file, err := os.Create(fill)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, page))
	}
	info, statErr := file.Stat()
	if !errors.Is(err, syscall.ENOSPC) || statErr != nil {
		t.Fatal(err, statErr)
	}
	if err := file.Truncate(info.Size() - pages*page); err != nil {
		t.Fatal(err)
	}
	return func() { _ = os.Remove(fill) }
}

// syncLimited cannot write a file of more than 512 bytes where no page is left.
func (d *disk) syncLimited(t *testing.T, pages int64) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", fmt.Sprintf(`ulimit -f %d && exec "$0" sync`, 1+pages*64), world.hapsync)
	cmd.Env = append(cleanEnv(), d.env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	return outcome{"sync", cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func TestReadOnlyDirectoryTouchesNothing(t *testing.T) {
	t.Parallel()
	d := newDisk(t, newBox(t, firstHAProxy(t)))
	d.register(t, "a.abc.com/server1", "127.0.0.1:1")
	d.must(t, "sync")
	d.register(t, "a.abc.com/server1", "127.0.0.1:2")
	d.register(t, "c.abc.com/server1", "127.0.0.1:1")
	w := startWatch(t, d.box)
	d.writable(t, false)

	o := d.exits(t, 1, "sync")
	if !strings.Contains(o.stderr, d.dir) || !strings.Contains(o.stderr, "read-only file system") && !strings.Contains(o.stderr, "permission denied") {
		t.Errorf("no clear word: %s", o)
	}
	w.untouched(t, "a read-only disk")
	d.must(t, "plan")

	d.writable(t, true)
	d.must(t, "sync")
	d.inLine(t)
	d.managed(t, "a.abc.com server1=127.0.0.1:2", "c.abc.com server1=127.0.0.1:1")
}

// TestFullDiskKeepsFileAndProcess leaves some pages each time, so that one file after the other finds no room.
func TestFullDiskKeepsFileAndProcess(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		d := newDisk(t, newBox(t, h))
		a, b, moved := startHost(t, "a.abc.com"), startHost(t, "b.abc.com"), startHost(t, "b.abc.com, moved")
		d.register(t, "a.abc.com/server1", a.addr)
		d.register(t, "b.abc.com/server1", b.addr)
		d.must(t, "sync")
		domains := []string{"a.abc.com server1=" + a.addr, "b.abc.com server1=" + b.addr}
		d.register(t, "b.abc.com/server1", moved.addr)
		if o := d.sync(t, 0); o.code != 1 {
			t.Error(o)
		}
		if d.mounted { // a limit of the size of files, unlike a full disk, does not show before the first write
			d.serves(t, "b.abc.com", "", b) // as the file says, and not as it could not say
		}
		domains[1] = "b.abc.com server1=" + moved.addr
		full := 0
		for pages := range int64(5) {
			old, worker := footprintOf(t, d.managedFile), d.generation(t).worker
			domain := fmt.Sprintf("c%d.abc.com", pages)
			d.register(t, domain+"/server1", a.addr)
			domains = slices.Insert(domains, len(domains), domain+" server1="+a.addr)
			o := d.sync(t, pages)
			if footprintOf(t, d.managedFile) == old {
				full++
				if o.code == 0 || !strings.Contains(o.stderr, d.managedFile) ||
					!strings.Contains(o.stderr, "no space left on device") && !strings.Contains(o.stderr, "file too large") {
					t.Errorf("with %d pages, no clear word: %s", pages, o)
				}
				if now := d.generation(t).worker; now != worker {
					t.Errorf("with %d pages, process %d serves, not %d", pages, now, worker)
				}
			} else {
				d.managed(t, domains...)
			}
			d.serves(t, "a.abc.com", "", a)

			d.must(t, "sync")
			d.managed(t, domains...)
			d.serves(t, "b.abc.com", "", moved)
			d.serves(t, domain, "", a)
			d.inLine(t)
		}
		if full == 0 || full == 5 {
			t.Errorf("the disk was full in %d of 5 cases: the test is blind", full)
		}
	})
}
