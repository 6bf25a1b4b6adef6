package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A watch tells whether anything of a box's HAProxy is touched: its files, its process, its sockets.
type watch struct {
	*box
	runtime, master *recorder
	base, file      footprint
	serving         generation
}

// startWatch puts recorders between hapsync and HAProxy's sockets.
func startWatch(t *testing.T, b *box) *watch {
	t.Helper()
	w := &watch{box: b, runtime: startRecorder(t, b.dir, b.runtimeSocket), master: startRecorder(t, b.dir, b.masterSocket)}
	b.env = append(b.env, "HAPSYNC_RUNTIME_SOCKET="+w.runtime.path, "HAPSYNC_MASTER_SOCKET="+w.master.path)
	w.begin(t)
	return w
}

// begin forgets what was touched so far.
func (w *watch) begin(t *testing.T) {
	t.Helper()
	w.runtime.commands()
	w.master.commands()
	w.base, w.file, w.serving = footprintOf(t, w.baseFile), footprintOf(t, w.managedFile), w.generation(t)
}

// untouched fails the test where anything was written since the beginning.
func (w *watch) untouched(t *testing.T, during string) {
	t.Helper()
	if footprintOf(t, w.baseFile) != w.base || footprintOf(t, w.managedFile) != w.file {
		t.Errorf("%s: a file was written; the managed one is now\n%s", during, read(t, w.managedFile))
	}
	for _, sent := range [][]string{w.runtime.commands(), w.master.commands()} {
		if sent := writes(sent); len(sent) > 0 {
			t.Errorf("%s: sent to HAProxy: %q", during, sent)
		}
	}
	if now := w.generation(t); now != w.serving {
		t.Errorf("%s: HAProxy was reloaded: %+v, and now %+v", during, w.serving, now)
	}
}

// exits runs hapsync and fails the test unless it ends with the code.
func (b *box) exits(t *testing.T, code int, args ...string) outcome {
	t.Helper()
	o := b.hapsync(t, args...)
	if o.code != code {
		t.Fatalf("want exit code %d: %s", code, o)
	}
	return o
}

// operator edits a file by hand: what it replaces must be there.
func operator(t *testing.T, file, replace, with string) {
	t.Helper()
	text := read(t, file)
	if !strings.Contains(text, replace) {
		t.Fatalf("no %q in %s:\n%s", replace, file, text)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(text, replace, with, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// reload is an operator's, by the master's socket.
func (b *box) reload(t *testing.T) {
	t.Helper()
	before := b.generation(t)
	if _, err := ask(b.masterSocket, "reload"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new worker answers", func() error {
		if now := b.generation(t); now.worker == before.worker {
			return fmt.Errorf("process %d still answers", now.worker)
		}
		return nil
	})
}

// hasOneWorker waits until the worker that answers is the only one: for a moment after a reload the one before it may take a connection.
func (b *box) hasOneWorker(t *testing.T) {
	t.Helper()
	eventually(t, "the worker that answers is the only one", func() error {
		reply, err := ask(b.masterSocket, "show proc")
		if err != nil {
			return err
		}
		workers := regexp.MustCompile(`(?m)^(\d+)\s+worker\s`).FindAllStringSubmatch(reply, -1)
		pid, err := b.pid()
		if err == nil && (len(workers) != 1 || workers[0][1] != strconv.Itoa(pid)) {
			err = fmt.Errorf("process %d answers, and the master has %q", pid, workers)
		}
		return err
	})
}

// putKey puts a whole key, which need not be below the box's prefix.
func putKey(t *testing.T, key, value string) {
	t.Helper()
	world.etcd.writing.RLock()
	defer world.etcd.writing.RUnlock()
	if _, err := world.etcd.client.Put(t.Context(), key, value); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

// deleteKey deletes a whole key, and none that only starts so.
func deleteKey(t *testing.T, key string) {
	t.Helper()
	world.etcd.writing.RLock()
	defer world.etcd.writing.RUnlock()
	if deleted, err := world.etcd.client.Delete(t.Context(), key); err != nil || deleted.Deleted != 1 {
		t.Fatalf("delete %s: %v, %v", key, deleted, err)
	}
}

// ownership is the mode and owner of a file, as ls shows them.
func ownership(t *testing.T, file string) string {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%s %d:%d", info.Mode(), stat.Uid, stat.Gid)
}

// startHapsync starts the binary; who calls waits for it. It is killed where the test ends first.
func (b *box) startHapsync(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), world.hapsync, args...)
	cmd.Env = append(cleanEnv(), b.env...)
	if err := world.thread.Start(cmd); err != nil {
		t.Fatal(err)
	}
	return cmd
}
