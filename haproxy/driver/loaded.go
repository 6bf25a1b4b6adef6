package driver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// What the worker has loaded is kept beside the managed file, as a copy under a first line that names the worker: HAProxy
// can tell its servers, but not its rules. It is written when a worker's file is about to change and after each
// reload, so that a pass that is killed between the two is seen by the next one.

func (h *Instance) loadedFile() string {
	dir, name := filepath.Split(h.files.Managed)
	return filepath.Join(dir, "."+name+".loaded")
}

func loadedHeader(w runtimeapi.Worker) string {
	return fmt.Sprintf("# loaded by process %d of %d\n", w.Pid, w.Started.Unix())
}

// workerOf is the worker that a first line names.
func workerOf(header string) (w runtimeapi.Worker, ok bool) {
	var started int64
	if _, err := fmt.Sscanf(header, "# loaded by process %d of %d\n", &w.Pid, &started); err != nil {
		return w, false
	}
	w.Started = time.Unix(started, 0)
	return w, true
}

// sameWorker reports whether a copy's first line names the worker.
func sameWorker(header string, w runtimeapi.Worker) bool {
	named, ok := workerOf(header)
	return ok && w.Same(named)
}

// loaded is the managed part of the file as the worker loaded it: the copy, where there is one of this worker's, else
// the file as it stands. A worker's copy never changes, so that it is read once.
func (h *Instance) loaded(f configfile.Reading, w runtimeapi.Worker) (configfile.Managed, error) {
	if h.lastLoaded.Worker.Same(w) {
		return h.lastLoaded.Managed, nil
	}
	file, err := os.Lstat(h.loadedFile())
	if err != nil {
		file = nil // reading it says why
	}
	if p := &h.perhaps; p.worker.Same(w) && p.digest == f.Digest && sameFile(p.file, file) {
		return p.Managed, nil
	}
	text, _, err := configfile.ReadBeside(h.loadedFile())
	if err != nil {
		return configfile.Managed{}, err
	}
	header, text, _ := strings.Cut(text, "\n")
	if !sameWorker(header+"\n", w) {
		return h.perhapsLoaded(f, w, text, file), nil
	}
	h.lastLoaded.Worker = w
	m := h.files.Loaded(f, text)
	h.lastLoaded.Managed = m.Detached()
	h.perhaps.worker, h.perhaps.Managed = runtimeapi.Worker{}, configfile.Managed{}
	return h.lastLoaded.Managed, nil
}

// perhapsLoaded is for a worker that hapsync did not start and that nothing was written for yet: it has loaded the file as it stands, or,
// if it was started while that was written, one before it. What of that one is not in the process does no harm: servers and backends
// are read from the process.
func (h *Instance) perhapsLoaded(f configfile.Reading, w runtimeapi.Worker, before string, file os.FileInfo) configfile.Managed {
	p := &h.perhaps
	p.worker, p.digest, p.file, p.Managed = w, f.Digest, file, f.Managed
	last := h.files.Loaded(f, before)
	p.Config, p.Spares = f.Managed.Config.With(last.Config), f.Managed.SparesLike(last)
	return p.Managed
}

// lastText is the text that a worker has loaded, as far as that is known.
func (h *Instance) lastText() (string, error) {
	kept, _, err := configfile.ReadBeside(h.loadedFile())
	_, text, _ := strings.Cut(kept, "\n")
	return text, err
}

// rememberLoaded keeps the text that the running worker has loaded, unless that is known already. Without a process there
// is nothing to keep.
func (h *Instance) rememberLoaded(ctx context.Context, f configfile.Reading) error {
	r, err := h.runtime(f.Base)
	if err != nil {
		return nil //nolint:nilerr // no socket is named: there is no process to speak of
	}
	w, err := r.Info(ctx)
	if errors.Is(err, haproxy.ErrDown) {
		return nil
	}
	if err != nil {
		return err
	}
	kept, _, err := configfile.ReadBeside(h.loadedFile())
	if err != nil {
		return err
	}
	if header, _, _ := strings.Cut(kept, "\n"); sameWorker(header+"\n", w) {
		return nil
	}
	return configfile.ReplaceVolatile(h.loadedFile(), h.files.Managed, loadedHeader(w)+f.Text)
}
