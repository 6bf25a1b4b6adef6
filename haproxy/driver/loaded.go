package driver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// HAProxy can show its servers, but not its rules. So the text that the worker has loaded is copied to a file beside the managed file,
// below a first line that names the worker. It is written before a worker's file changes, and after each reload. If a pass is killed
// between the two, the next one notices.

func loadedHeader(w runtimeapi.Worker) string {
	return fmt.Sprintf("# loaded by process %d of %d\n", w.Pid, w.Started.Unix())
}

// workerOf is the worker that the first line names.
func workerOf(header string) (w runtimeapi.Worker, ok bool) {
	var started int64
	if _, err := fmt.Sscanf(header, "# loaded by process %d of %d\n", &w.Pid, &started); err != nil {
		return w, false
	}
	w.Started = time.Unix(started, 0)
	return w, true
}

// sameWorker reports whether the first line of a copy names the worker.
func sameWorker(header string, w runtimeapi.Worker) bool {
	named, ok := workerOf(header)
	return ok && w.Same(named)
}

// loaded is the managed part of the file that the worker has loaded: from its copy, or else from the current file. A worker's copy never
// changes, so it is read once.
func (h *Instance) loaded(f configfile.Reading, w runtimeapi.Worker) (configfile.Managed, error) {
	if h.lastLoaded.Worker.Same(w) {
		return h.lastLoaded.Managed, nil
	}
	file := lstat(h.files.LoadedFile())
	if p := &h.guess; p.worker.Same(w) && p.digest == f.Digest && sameFile(p.file, file) {
		return p.Managed, nil
	}
	text, _, err := configfile.ReadBeside(h.files.LoadedFile())
	if err != nil {
		return configfile.Managed{}, err
	}
	header, text, _ := strings.Cut(text, "\n")
	if !sameWorker(header+"\n", w) {
		return h.guessLoaded(f, w, text, file), nil
	}
	h.lastLoaded.Worker = w
	h.lastLoaded.Managed = h.files.Loaded(f, text)
	if h.settings.Background { // for longer than the file may stay as it is
		h.lastLoaded.Managed = h.lastLoaded.Managed.Detached()
	}
	h.guess.worker, h.guess.Managed = runtimeapi.Worker{}, configfile.Managed{}
	return h.lastLoaded.Managed, nil
}

// guessLoaded is for a worker that hapsync did not start, and that has no copy yet. It has loaded the current file or, if it started
// during a write, the one before, so the result includes both. What the process does not have of the earlier one does no harm: servers
// and backends are read from the process.
func (h *Instance) guessLoaded(f configfile.Reading, w runtimeapi.Worker, before string, file os.FileInfo) configfile.Managed {
	p := &h.guess
	p.worker, p.digest, p.file, p.Managed = w, f.Digest, file, f.Managed
	last := h.files.Loaded(f, before)
	p.Config, p.Spares = f.Managed.Config.With(last.Config), f.Managed.SparesLike(last)
	return p.Managed
}

// lastText is the text of the last copy.
func (h *Instance) lastText() (string, error) {
	kept, _, err := configfile.ReadBeside(h.files.LoadedFile())
	_, text, _ := strings.Cut(kept, "\n")
	return text, err
}

// rememberLoaded copies the text that the running worker has loaded, if there is no copy yet. It does nothing without a process. Its error
// may be that of keepRunning.
func (h *Instance) rememberLoaded(ctx context.Context, f configfile.Reading) error {
	if f.Restored {
		return nil // the copy is all that is left of the file
	}
	r, err := h.runtime(f.Base)
	if err != nil {
		return nil //nolint:nilerr // without a socket there is no process
	}
	w, err := r.Info(ctx)
	if errors.Is(err, haproxy.ErrDown) {
		return nil
	}
	if err != nil {
		return err
	}
	header, err := configfile.FirstLineBeside(h.files.LoadedFile())
	if err != nil || sameWorker(header, w) {
		return err
	}
	if strings.TrimSpace(f.Text) == "" {
		if err := h.keepRunning(ctx, r); err != nil {
			return err
		}
	}
	return configfile.ReplaceVolatile(h.files.LoadedFile(), h.files.Managed, loadedHeader(w), f.Text)
}

// keepRunning is the error that a missing managed file cannot be written from nothing, because HAProxy runs with its frontends: their
// other lines, and the addresses that they bind, are not known. It is nil if it can.
func (h *Instance) keepRunning(ctx context.Context, r runtimeapi.Client) error {
	const frontendsAlone = "show stat -1 1 -1"
	reply, err := r.Ask(ctx, frontendsAlone)
	if err != nil {
		return err
	}
	for line := range strings.Lines(reply) {
		if name, _, _ := strings.Cut(line, ","); slices.Contains(h.settings.Frontends, name) {
			return fmt.Errorf("%s is missing or empty, but HAProxy runs with the frontend %s: restore the file, or stop HAProxy to begin with a new one",
				h.files.Managed, name)
		}
	}
	return nil
}
