package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// runtime is the stats socket of the process, as the settings or the base file name it.
func (h *Instance) runtime(b configfile.Base) (runtimeapi.Client, error) {
	socket := h.settings.RuntimeSocket
	if socket == "" && len(b.Sockets) > 0 {
		socket = b.Sockets[0]
	}
	if socket == "" {
		return runtimeapi.Client{}, fmt.Errorf("%w: %s names no stats socket; write \"stats socket /run/haproxy/haproxy.sock mode 660 level admin expose-fd listeners\" into its global section, or name one with --runtime-socket", haproxy.ErrDown, h.files.Base)
	}
	return runtimeapi.Client{Socket: strings.TrimPrefix(socket, "unix@"), Cache: h.cache}, nil
}

// readLive reads the process into st.Live. A process that does not answer is no error: st.Down says so.
func (h *Instance) readLive(ctx context.Context, f configfile.Reading, st *haproxy.State, names ...string) error {
	r, err := h.runtime(f.Base)
	if err != nil {
		st.Down = err
		return nil //nolint:nilerr // said by st.Down
	}
	w, backends, err := r.Look(ctx, names...)
	if errors.Is(err, haproxy.ErrDown) {
		st.Deaf, st.Down = h.whyDown(ctx, f.Base, r, err)
		return nil
	}
	if err != nil {
		return err
	}
	h.answered.Store(int64(w.Pid))
	if len(names) == 0 && h.settings.Background {
		st.OldWorkers = h.oldWorkers(ctx, f.Base, r, w)
	}
	return h.takeLive(f, w, backends, st, names)
}

// takeLive takes into st.Live what a worker told of some backends, or, without names, of all.
func (h *Instance) takeLive(f configfile.Reading, w runtimeapi.Worker, backends []runtimeapi.Backend, st *haproxy.State, names []string) error {
	st.Worker = fmt.Sprintf("%d of %d", w.Pid, w.Started.Unix())
	st.Capabilities = haproxy.CapabilitiesOf(w.Version)
	loaded, err := h.loaded(f, w)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		loaded.Config = loaded.Config.Only(names, h.settings.Frontends)
	}
	st.Live = liveConfig(backends, loaded, f)
	if len(names) > 0 {
		st.Live = st.Live.Only(names, h.settings.Frontends)
	}
	return nil
}

// whyDown adds to a stats socket that does not answer what its master says: HAProxy 3.2 and 3.4 lose the socket of the
// worker that serves on after two reloads in a row that they refused. deaf says that this is so: it has answered before.
func (h *Instance) whyDown(ctx context.Context, b configfile.Base, r runtimeapi.Client, err error) (deaf bool, why error) {
	ctx, cancel := context.WithTimeout(ctx, masterPatience)
	defer cancel()
	l := h.reloader(ctx, b, r)
	if l.Master == "" {
		return false, err
	}
	procs, masterErr := l.Master.Procs(ctx)
	if masterErr != nil || len(procs.Workers)+len(procs.Old) == 0 {
		return false, err
	}
	return procs.Has(int(h.answered.Load())), fmt.Errorf("%w; its master on %s does answer, so that HAProxy runs: a reload gives it its "+
		"stats socket back if refused reloads took that away", err, l.Master)
}

// open reads the files and finds the process.
func (h *Instance) open() (configfile.Reading, runtimeapi.Client, error) {
	f, err := h.files.Read()
	if err != nil {
		return configfile.Reading{}, runtimeapi.Client{}, err
	}
	r, err := h.runtime(f.Base)
	return f, r, err
}

// Run makes AddServer, SetServer and RemoveServer changes in the running process, and returns when they are in effect:
// a removed server has finished its sessions (or its time for that), an added one has been checked. A *RunError, which
// wraps ErrRefused, lists what HAProxy did not take.
func (h *Instance) Run(ctx context.Context, changes []haproxy.Change) error {
	if len(changes) == 0 {
		return nil
	}
	f, err := h.files.Reread()
	if err != nil {
		return err
	}
	r, err := h.runtime(f.Base)
	if err != nil {
		return err
	}
	if err := runtimeapi.Sound(changes, f.DefaultServer); err != nil {
		return err
	}
	w, live, err := h.recall(ctx, r, changes)
	if err != nil {
		return err
	}
	defer h.cache.Ran()
	drain := h.settings.DrainTimeout
	if h.settings.Background {
		changes, drain = h.draining.Due(changes, live), runtimeapi.NoWait
	}
	defer h.waits.Begin("HAProxy's socket")()
	return r.CarryOut(ctx, runtimeapi.Commands{Capabilities: haproxy.CapabilitiesOf(w.Version), Params: f.DefaultServer}, changes, live, drain)
}

// recall is what the process has of the changes' servers, as State read it just before where nothing goes: whether one
// that goes has sessions is to be known as of now.
func (h *Instance) recall(ctx context.Context, r runtimeapi.Client, changes []haproxy.Change) (runtimeapi.Worker, runtimeapi.View, error) {
	if slices.ContainsFunc(changes, func(c haproxy.Change) bool { return c.Op() == haproxy.OpRemove }) {
		h.cache.Forget(changes)
	}
	if live, ok := h.cache.View(changes); ok {
		return h.cache.Worker, live, nil
	}
	return r.View(ctx, changes)
}
