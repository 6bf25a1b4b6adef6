package driver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// runtime is the stats socket of the process, from the settings or from the base file.
func (h *Instance) runtime(b configfile.Base) (runtimeapi.Client, error) {
	socket := h.settings.RuntimeSocket
	if socket == "" && len(b.Sockets) > 0 {
		socket = b.Sockets[0]
	}
	if socket == "" {
		return runtimeapi.Client{}, fmt.Errorf("%w: %s names no stats socket; write \"stats socket /run/haproxy/haproxy.sock mode 660 "+
			"level admin expose-fd listeners\" into its global section, or name one with --runtime-socket", haproxy.ErrDown, h.files.Base)
	}
	return runtimeapi.Client{Socket: strings.TrimPrefix(socket, "unix@"), Cache: h.cache, Names: &h.names}, nil
}

// readLive reads the process into st.Live. If the process does not answer, st.Down says so, and the error is nil.
func (h *Instance) readLive(ctx context.Context, f configfile.Reading, st *haproxy.State, names ...string) error {
	r, err := h.runtime(f.Base)
	if err != nil {
		st.Down = err
		return nil //nolint:nilerr // st.Down has it
	}
	if err := h.domains.refresh(); err != nil {
		return err
	}
	w, backends, err := r.Look(ctx, names...)
	if errors.Is(err, haproxy.ErrDown) {
		st.Descriptors = h.started.descriptors
		st.Deaf, st.Down = h.whyDown(ctx, f.Base, r, err)
		return nil
	}
	if err != nil {
		return err
	}
	h.answered.Store(int64(w.Pid))
	if len(names) == 0 && h.settings.Background {
		st.OldWorkers = oldWorkersOf(ctx, h.masterOf(ctx, f.Base, r), w)
	}
	if err := errors.Join(h.domains.of(w), h.readMap(ctx, f, r, w, len(names) == 0)); err != nil {
		return err
	}
	if len(names) > 0 {
		if !h.started.worker.Same(w) {
			h.learnFiles(ctx, f) // what it changes takes effect with the next reading
		}
		if err := h.readSpares(ctx, f, r, w); err != nil {
			return err
		}
	}
	return h.takeLive(f, w, backends, st, names)
}

// takeLive fills st from a reading of a worker's backends: of the named ones, or of all if there are no names.
func (h *Instance) takeLive(f configfile.Reading, w runtimeapi.Worker, backends []runtimeapi.Backend, st *haproxy.State, names []string) error {
	st.Worker = nameOf(w)
	st.Capabilities = haproxy.CapabilitiesOf(w.Version)
	loaded, err := h.loaded(f, w)
	if err != nil {
		return err
	}
	if h.started.without(w) {
		loaded, st.NotLoaded = configfile.Managed{}, h.started.unloaded
		st.Warnings = append(st.Warnings, h.started.warning())
	}
	if err := errors.Join(h.record.of(w), h.domains.of(w)); err != nil {
		return err
	}
	if len(names) == 0 {
		h.findBusy(w, loaded, backends)
	}
	st.Dynamic = h.dynamic(f, loaded, st.Capabilities)
	if len(names) == 0 || h.started.descriptors == (haproxy.Descriptors{}) {
		h.started.descriptors = descriptors(f.Base, w, loaded.Config, h.started.maxConn)
	}
	st.Descriptors = h.started.descriptors
	h.adopt(f, loaded, backends)
	if len(names) > 0 {
		loaded.Config = loaded.Config.Only(names, h.settings.Frontends)
	} else {
		h.others = nil
	}
	loaded = h.withMap(loaded, names)
	var others map[haproxy.ServerKey]bool
	st.Live, others = liveConfig(backends, loaded, h.record.servers)
	h.hideUnpublished(&st.Live, backends)
	if len(names) == 0 {
		st.Live.Rules = append(st.Live.Rules, h.dangling(loaded, backends)...)
		haproxy.SortRules(st.Live.Rules)
	}
	h.takeOthers(names, others)
	st.NotOurs = h.notOurs(f, loaded)
	st.Agents, st.ChecksOff = agentsOf(backends), checksOff(backends)
	if len(names) > 0 {
		st.Live = st.Live.Only(names, h.settings.Frontends)
	}
	return nil
}

// nameOf is State.Worker.
func nameOf(w runtimeapi.Worker) string { return fmt.Sprintf("%d of %d", w.Pid, w.Started.Unix()) }

// adopt treats servers as hapsync's that the managed file has and the process runs at the same address. It does so once, after an upgrade
// from a hapsync that had no record.
func (h *Instance) adopt(f configfile.Reading, loaded configfile.Managed, backends []runtimeapi.Backend) {
	if !h.record.missing {
		return
	}
	for _, b := range backends {
		if _, ok := haproxy.FindBackend(loaded.Config.Backends, b.Name); !ok {
			continue
		}
		file, _ := haproxy.FindBackend(f.Managed.Config.Backends, b.Name)
		for _, s := range b.Servers {
			if written, ok := haproxy.FindServer(file, s.Name); ok && written.Addr == s.Addr && written.Cookie == s.Cookie {
				h.record.servers[haproxy.ServerKey{Backend: b.Name, Name: s.Name}] = written.Params
			}
		}
	}
}

// agentsOf are the servers with an agent-check, and the weights that HAProxy has loaded for them.
func agentsOf(backends []runtimeapi.Backend) map[haproxy.ServerKey]int {
	found := map[haproxy.ServerKey]int{}
	for _, b := range backends {
		for _, s := range b.Servers {
			if s.Agent {
				found[haproxy.ServerKey{Backend: b.Name, Name: s.Name}] = s.LoadedWeight
			}
		}
	}
	return found
}

// checksOff are the servers with a check that is off.
func checksOff(backends []runtimeapi.Backend) map[haproxy.ServerKey]bool {
	found := map[haproxy.ServerKey]bool{}
	for _, b := range backends {
		for _, s := range b.Servers {
			if s.Unchecked {
				found[haproxy.ServerKey{Backend: b.Name, Name: s.Name}] = true
			}
		}
	}
	return found
}

// takeOthers replaces what is known of the named backends, or of all if there are no names.
func (h *Instance) takeOthers(names []string, others map[haproxy.ServerKey]bool) {
	if len(names) == 0 || h.others == nil {
		h.others = others
		return
	}
	next := maps.Clone(others)
	for key := range h.others {
		if !slices.Contains(names, key.Backend) {
			next[key] = true
		}
	}
	h.others = next
}

// notOurs are the servers in managed backends that are not hapsync's: in the file, in the loaded file, and in the process.
func (h *Instance) notOurs(f configfile.Reading, loaded configfile.Managed) map[haproxy.ServerKey]haproxy.Other {
	if len(f.Managed.NotOurs)+len(h.others) == 0 {
		return nil
	}
	all := map[haproxy.ServerKey]haproxy.Other{}
	for key := range h.others {
		place := "server " + key.Name + " of backend " + key.Backend + " in the process, which hapsync has not put there"
		if written := loaded.NotOurs[key]; written != "" {
			place = written
		}
		all[key] = haproxy.Other{Place: place}
	}
	for key, place := range f.Managed.NotOurs {
		all[key] = haproxy.Other{Place: place, Written: true}
	}
	return all
}

// whyDown extends the error of a stats socket that does not answer by what the master says. After two refused reloads in a row, the worker
// that stays in service loses its stats socket (HAProxy 3.2 and 3.4). deaf is set in that case: the worker has answered before.
func (h *Instance) whyDown(ctx context.Context, b configfile.Base, r runtimeapi.Client, err error) (deaf bool, why error) {
	ctx, cancel := context.WithTimeout(ctx, masterTimeout)
	defer cancel()
	l := h.reloader(ctx, b, r)
	if l.Master == "" {
		return false, err
	}
	procs, masterErr := l.Master.Procs(ctx)
	if masterErr != nil || len(procs.Workers)+len(procs.Old) == 0 {
		return false, err
	}
	return procs.Has(int(h.answered.Load())), fmt.Errorf("%w; its master on %s does answer, so that %w: a reload gives it its "+
		"stats socket back if refused reloads took that away", err, l.Master, haproxy.ErrRuns)
}

// open reads the files, and finds the process.
func (h *Instance) open() (configfile.Reading, runtimeapi.Client, error) {
	f, err := h.files.Reread()
	if err != nil {
		return configfile.Reading{}, runtimeapi.Client{}, err
	}
	r, err := h.runtime(f.Base)
	return f, r, err
}

// Run makes changes in the running process, and returns when they are in effect: HAProxy has checked the added servers, and the removed ones
// have finished their sessions, or their time is over. Changes of backends and rules must be allowed by State.Dynamic. A *RunError,
// which wraps ErrRefused, lists the changes that HAProxy refused. A backend that cannot be removed yet is not in it.
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
	if err := h.domains.refresh(); err != nil {
		return err
	}
	if d, servers := splitDomains(changes); len(d.all) > 0 {
		return h.runDomains(ctx, f, r, d, servers)
	}
	return h.runServers(ctx, f, r, changes, newBackends{})
}

// newBackends are backends that hapsync has just added to a worker: they have no servers.
type newBackends struct {
	worker runtimeapi.Worker
	names  map[string]bool
}

// has reports whether the changes are of new backends only.
func (n newBackends) has(changes []haproxy.Change) bool {
	return !slices.ContainsFunc(changes, func(c haproxy.Change) bool { return !n.names[c.Key().Backend] })
}

// runServers makes the changes of servers.
func (h *Instance) runServers(
	ctx context.Context, f configfile.Reading, r runtimeapi.Client, changes []haproxy.Change, empty newBackends,
) error {
	if len(changes) == 0 {
		return nil
	}
	changes, unsafe, err := runtimeapi.Safe(changes, f.DefaultServer)
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		return withRefusals(nil, unsafe)
	}
	w, live, current, err := h.recall(ctx, r, changes, empty)
	if err != nil {
		return err
	}
	changes, refused, err := h.permitted(f, w, changes, live)
	if err != nil {
		return err
	}
	var unrecorded unrecordedError
	if err := h.record.add(additions(changes)); errors.As(err, &unrecorded) {
		changes, refused = refuseAdditions(changes, refused, unrecorded)
	} else if err != nil {
		return err
	}
	defer h.cache.Ran()
	defer h.waits.Begin("HAProxy's socket")()
	c := carrier{h, f, r, w}
	if h.settings.Background {
		err = c.begin(ctx, changes, live, current)
	} else {
		err = c.finish(ctx, changes, live)
	}
	return withRefusals(err, append(unsafe, refused...))
}

// permitted refuses changes of servers in the process that are not hapsync's, whatever the caller believes.
func (h *Instance) permitted(
	f configfile.Reading, w runtimeapi.Worker, changes []haproxy.Change, live runtimeapi.View,
) (good []haproxy.Change, refused []haproxy.Failure, err error) {
	loaded, err := h.loaded(f, w)
	if err != nil {
		return nil, nil, err
	}
	if err := h.record.of(w); err != nil {
		return nil, nil, err
	}
	for _, c := range changes {
		key := c.Key()
		known, _ := haproxy.FindBackend(loaded.Config.Backends, key.Backend)
		_, ours := haproxy.FindServer(known, key.Name)
		_, recorded := h.record.servers[key]
		if _, there := live[key]; there && !ours && !recorded {
			refused = append(refused, haproxy.Failure{Change: c, Reply: "HAProxy has this server from elsewhere, hapsync leaves it alone"})
			continue
		}
		good = append(good, c)
	}
	return good, refused, nil
}

// forgetRemoved removes the removed servers from the record.
func (h *Instance) forgetRemoved(changes []haproxy.Change, err error) {
	var run *haproxy.RunError
	if err != nil && !errors.As(err, &run) {
		return
	}
	var removed []haproxy.ServerKey
	for _, c := range changes {
		failed := run != nil && slices.ContainsFunc(run.Failures, func(f haproxy.Failure) bool { return f.Change == c })
		if c.Op() == haproxy.OpRemove && !failed {
			removed = append(removed, c.Key())
		}
	}
	h.record.drop(removed)
}

// refuseAdditions refuses the additions among some changes.
func refuseAdditions(changes []haproxy.Change, refused []haproxy.Failure, why error) (others []haproxy.Change, all []haproxy.Failure) {
	for _, c := range changes {
		if c.Op() == haproxy.OpAdd {
			refused = append(refused, haproxy.Failure{Change: c, Reply: why.Error()})
		} else {
			others = append(others, c)
		}
	}
	return others, refused
}

// additions are the added servers, with their Params.
func additions(changes []haproxy.Change) map[haproxy.ServerKey]string {
	words := map[haproxy.ServerKey]string{}
	for _, c := range changes {
		if c.Op() == haproxy.OpAdd {
			_, s := c.Servers()
			words[c.Key()] = s.Params
		}
	}
	return words
}

// withRefusals adds refused changes to the error of a run.
func withRefusals(err error, refused []haproxy.Failure) error {
	var run *haproxy.RunError
	switch {
	case len(refused) == 0:
		return err
	case err == nil:
		return &haproxy.RunError{Failures: refused}
	case errors.As(err, &run):
		return &haproxy.RunError{Failures: append(run.Failures, refused...)}
	}
	return err
}

// recall is the state of the changes' servers. It comes from the cache if State has just read it, unless a removal needs the current one.
func (h *Instance) recall(
	ctx context.Context, r runtimeapi.Client, changes []haproxy.Change, empty newBackends,
) (w runtimeapi.Worker, live runtimeapi.View, current bool, err error) {
	if empty.has(changes) {
		return empty.worker, runtimeapi.View{}, true, nil
	}
	if live, ok := h.cache.View(changes); ok && !h.draining.NeedCurrent(changes, live) {
		return h.cache.Worker, live, false, nil
	}
	for _, c := range changes {
		if c.Op() == haproxy.OpRemove {
			h.cache.Forget(c.Key().Backend)
		}
	}
	w, live, err = r.View(ctx, changes)
	return w, live, true, err
}
