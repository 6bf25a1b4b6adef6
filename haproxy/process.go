package haproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// runtime is the stats socket of the process, as the settings or the base file name it.
func (h *Instance) runtime(b base) (runtime, error) {
	socket := h.settings.RuntimeSocket
	if socket == "" && len(b.sockets) > 0 {
		socket = b.sockets[0]
	}
	if socket == "" {
		return runtime{}, fmt.Errorf("%w: %s names no stats socket; write \"stats socket /run/haproxy/haproxy.sock mode 660 level admin expose-fd listeners\" into its global section, or name one with --runtime-socket", ErrDown, h.base)
	}
	return runtime{socket: strings.TrimPrefix(socket, "unix@"), recollection: h.recollection}, nil
}

// readLive reads the process into st.Live. A process that does not answer is no error: st.Down says so.
func (h *Instance) readLive(ctx context.Context, f files, st *State, names ...string) error {
	r, err := h.runtime(f.base)
	if err != nil {
		st.Down = err
		return nil //nolint:nilerr // said by st.Down
	}
	w, backends, err := r.look(ctx, names...)
	if errors.Is(err, ErrDown) {
		st.Deaf, st.Down = h.whyDown(ctx, f.base, r, err)
		return nil
	}
	if err != nil {
		return err
	}
	h.answered.Store(int64(w.Pid))
	if len(names) == 0 && h.settings.Background {
		st.OldWorkers = h.oldWorkers(ctx, f.base, r, w)
	}
	return h.takeLive(f, w, backends, st, names)
}

// takeLive takes into st.Live what a worker told of some backends, or, without names, of all.
func (h *Instance) takeLive(f files, w worker, backends []liveBackend, st *State, names []string) error {
	st.Worker = fmt.Sprintf("%d of %d", w.Pid, w.Started.Unix())
	st.Capabilities = CapabilitiesOf(w.Version)
	loaded, err := h.loaded(f, w)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		loaded.config = loaded.config.only(names, h.settings.Frontends)
	}
	st.Live = liveConfig(backends, loaded, f)
	if len(names) > 0 {
		st.Live = st.Live.only(names, h.settings.Frontends)
	}
	return nil
}

// whyDown adds to a stats socket that does not answer what its master says: HAProxy 3.2 and 3.4 lose the socket of the
// worker that serves on after two reloads in a row that they refused. deaf says that this is so: it has answered before.
func (h *Instance) whyDown(ctx context.Context, b base, r runtime, err error) (deaf bool, why error) {
	ctx, cancel := context.WithTimeout(ctx, masterPatience)
	defer cancel()
	l := h.reloader(ctx, b, r)
	if l.master == "" {
		return false, err
	}
	procs, masterErr := l.master.procs(ctx)
	if masterErr != nil || len(procs.Workers)+len(procs.Old) == 0 {
		return false, err
	}
	return procs.has(int(h.answered.Load())), fmt.Errorf("%w; its master on %s does answer, so that HAProxy runs: a reload gives it its "+
		"stats socket back if refused reloads took that away", err, l.master)
}

// liveConfig is the managed part of what the process runs. Servers, and whether a backend is there, come from the
// process; what it does not tell (rules, paths of checks, further parameters) from the file as it was loaded.
func liveConfig(backends []liveBackend, loaded managed, f files) Config {
	var live Config
	running := map[string]bool{}
	for _, b := range backends {
		if known, ok := find(loaded.config.Backends, b.Name); ok {
			live.Backends = append(live.Backends, fill(b, known))
			running[b.Name] = true
		} else if left, ok := leftover(b, f); ok {
			live.Backends = append(live.Backends, left)
		}
	}
	for _, r := range loaded.config.Rules {
		if running[r.Backend()] {
			live.Rules = append(live.Rules, r)
		}
	}
	return live
}

// fill completes what the process says of a backend from what it has loaded.
func fill(b liveBackend, loaded Backend) Backend {
	out := Backend{Name: b.Name, Options: loaded.Options}
	if algorithm, _, _ := strings.Cut(cmp.Or(loaded.Options.Balance, "roundrobin"), " "); !strings.HasPrefix(algorithm, b.Balance) && b.Balance != "unknown" {
		out.Options.Balance = b.Balance
	}
	out.Options.Balance = cmp.Or(out.Options.Balance, "roundrobin")
	if name, _, _ := strings.Cut(loaded.Options.Cookie, " "); name != b.Cookie {
		out.Options.Cookie = b.Cookie
	}
	for _, s := range b.Servers {
		server := s.Server
		server.Check = server.Check && !s.Unchecked
		if i := slices.IndexFunc(loaded.Servers, func(l Server) bool { return l.Name == s.Name }); i >= 0 {
			server.Params = loaded.Servers[i].Params
		}
		out.Servers = append(out.Servers, server)
	}
	return out
}

// leftover tells a backend of ours that the process has loaded, but that no file names any more: it has our shape in
// all that can be seen. One without servers answers 503 as an unknown host does, and is gone with the next reload.
func leftover(b liveBackend, f files) (Backend, bool) {
	domain, ok := DomainOf(b.Name)
	if !ok || b.Cookie != "SERVERID" || f.managed.foreign[domain] != "" || f.base.proxies[b.Name] != "" {
		return Backend{}, false
	}
	out := Backend{Name: b.Name, Options: BackendOptions{Balance: b.Balance, Cookie: StickyCookie}}
	for _, s := range b.Servers {
		if s.Cookie != s.Name {
			return Backend{}, false
		}
		out.Servers = append(out.Servers, s.Server)
	}
	return out, len(out.Servers) > 0
}

// What the worker has loaded is kept beside the managed file, as a copy under a first line that names the worker: HAProxy
// can tell its servers, but not its rules. It is written when a worker's file is about to change and after each
// reload, so that a pass that is killed between the two is seen by the next one.

func (h *Instance) loadedFile() string {
	dir, name := filepath.Split(h.managed)
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

// same reports whether two are one process. The start is known to about a second.
func (w worker) same(other worker) bool {
	return w.Pid == other.Pid && w.Started.Sub(other.Started).Abs() <= 2*time.Second
}

// loaded is the managed part of the file as the worker loaded it: the copy, where there is one of this worker's, else
// the file as it stands. A worker's copy never changes, so that it is read once.
func (h *Instance) loaded(f files, w worker) (managed, error) {
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
	h.lastLoaded.managed = f.managed
	if text != f.text {
		h.lastLoaded.managed = h.readManaged(parseDocument(text), f.base)
	}
	return h.lastLoaded.managed, nil
}

// rememberLoaded keeps the text that the running worker has loaded, unless that is known already. Without a process there
// is nothing to keep.
func (h *Instance) rememberLoaded(ctx context.Context, f files) error {
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
	return replaceVolatile(h.loadedFile(), h.managed, loadedHeader(w)+f.text)
}

// open reads the files and finds the process.
func (h *Instance) open() (files, runtime, error) {
	f, err := h.read()
	if err != nil {
		return files{}, runtime{}, err
	}
	r, err := h.runtime(f.base)
	return f, r, err
}

// Run makes AddServer, SetServer and RemoveServer changes in the running process, and returns when they are in effect:
// a removed server has finished its sessions (or its time for that), an added one has been checked. A *RunError, which
// wraps ErrRefused, lists what HAProxy did not take.
func (h *Instance) Run(ctx context.Context, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	f, err := h.reread()
	if err != nil {
		return err
	}
	r, err := h.runtime(f.base)
	if err != nil {
		return err
	}
	params := func(backend string) string {
		s, ok := f.managed.backends[backend]
		if !ok {
			return f.base.defaultServer
		}
		return strings.TrimSpace(f.base.defaultServer + " " + defaultServerWords(f.doc.body(s)))
	}
	if err := sound(changes, params); err != nil {
		return err
	}
	w, live, err := h.recall(ctx, r, changes)
	if err != nil {
		return err
	}
	defer h.recollection.ran()
	drain := h.settings.DrainTimeout
	if h.settings.Background {
		changes, drain = h.due(changes, live), noWait
	}
	defer h.waits.begin("HAProxy's socket")()
	return r.carryOut(ctx, orders{CapabilitiesOf(w.Version), params}, changes, live, drain)
}

// recall is what the process has of the changes' servers, as State read it just before where nothing goes: whether one
// that goes has sessions is to be known as of now.
func (h *Instance) recall(ctx context.Context, r runtime, changes []Change) (worker, view, error) {
	if slices.ContainsFunc(changes, func(c Change) bool { _, remove := c.(RemoveServer); return remove }) {
		h.recollection.forget(changes)
	}
	if live, ok := h.recollection.view(changes); ok {
		return h.recollection.worker, live, nil
	}
	return r.view(ctx, changes)
}
