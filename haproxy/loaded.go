package haproxy

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// What the worker has loaded is kept beside the managed file, as a copy under a first line that names the worker: HAProxy
// can tell its servers, but not its rules. It is written when a worker's file is about to change and after each
// reload, so that a pass that is killed between the two is seen by the next one.

func (h *Instance) loadedFile() string {
	dir, name := filepath.Split(h.files.Managed)
	return filepath.Join(dir, "."+name+".loaded")
}

func loadedHeader(w worker) string {
	return fmt.Sprintf("# loaded by process %d of %d\n", w.Pid, w.Started.Unix())
}

// sameWorker reports whether a copy's first line names the worker.
func sameWorker(header string, w worker) bool {
	var pid int
	var started int64
	if _, err := fmt.Sscanf(header, "# loaded by process %d of %d\n", &pid, &started); err != nil {
		return false
	}
	return w.same(worker{Pid: pid, Started: time.Unix(started, 0)})
}

// loaded is the managed part of the file as the worker loaded it: the copy, where there is one of this worker's, else
// the file as it stands. A worker's copy never changes, so that it is read once.
func (h *Instance) loaded(f Reading, w worker) (managed, error) {
	if h.lastLoaded.worker.same(w) {
		return h.lastLoaded.managed, nil
	}
	text, _, err := readText(h.loadedFile())
	if err != nil {
		return managed{}, err
	}
	header, text, _ := strings.Cut(text, "\n")
	if !sameWorker(header+"\n", w) {
		return f.managed, nil
	}
	h.lastLoaded.worker = w
	h.lastLoaded.managed = h.files.Loaded(f, text)
	return h.lastLoaded.managed, nil
}

// rememberLoaded keeps the text that the running worker has loaded, unless that is known already. Without a process there
// is nothing to keep.
func (h *Instance) rememberLoaded(ctx context.Context, f Reading) error {
	r, err := h.runtime(f.base)
	if err != nil {
		return nil //nolint:nilerr // no socket is named: there is no process to speak of
	}
	w, err := r.info(ctx)
	if errors.Is(err, ErrDown) {
		return nil
	}
	if err != nil {
		return err
	}
	kept, _, err := readText(h.loadedFile())
	if err != nil {
		return err
	}
	if header, _, _ := strings.Cut(kept, "\n"); sameWorker(header+"\n", w) {
		return nil
	}
	return replaceVolatile(h.loadedFile(), h.files.Managed, loadedHeader(w)+f.text)
}
