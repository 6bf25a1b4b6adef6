package driver

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// A looker compares HAProxy with what was known of it when it was made. It is for another goroutine than the one that owns the process.
type looker struct {
	instance *Instance // only what never changes, and what any goroutine may use
	runtime  runtimeapi.Client
	master   runtimeapi.Master
	started  started
	worker   runtimeapi.Worker
	backends map[string]*runtimeapi.Backend
	loaded   configfile.Managed
	entries  map[string]string
	busy     map[string]bool
}

// Look prepares a look at everything: at what HAProxy no longer is as State and Run read it last. Any goroutine may call the function that
// it returns, and the process may be read and changed meanwhile: a domain that is changed then may be among the result.
func (h *Instance) Look(ctx context.Context) (look func(ctx context.Context) (haproxy.Look, error), err error) {
	f, r, err := h.open()
	if err != nil {
		return nil, err
	}
	loaded, err := h.loaded(f, h.cache.Worker)
	if err != nil {
		return nil, err
	}
	r.Cache = nil
	l := looker{
		instance: h, runtime: r, master: h.masterOf(ctx, f.Base, r), started: h.started, worker: h.cache.Worker, backends: h.cache.Known(),
		loaded: loaded, entries: maps.Clone(h.routed.entries), busy: maps.Clone(h.busy),
	}
	return l.look, nil
}

// Forget makes the next State of some domains read all of them, and the map: a Look found that they have changed.
func (h *Instance) Forget(domains ...string) {
	h.cache.Forget(backendNames(domains)...)
	h.routed = mapEntries{}
}

func (l looker) look(ctx context.Context) (haproxy.Look, error) {
	f, err := l.instance.files.Read()
	if err != nil {
		return haproxy.Look{}, err
	}
	st := l.instance.fileState(f)
	defer l.instance.waits.Begin("HAProxy's socket")()
	entries, mapErr := l.instance.entriesOf(ctx, l.runtime, l.loaded) // first: the backend of a new entry is there already
	w, backends, err := l.runtime.Look(ctx)
	if errors.Is(err, haproxy.ErrDown) {
		st.Down = err
		return haproxy.Look{Identity: st.Identity()}, nil
	}
	if err := errors.Join(err, mapErr); err != nil {
		return haproxy.Look{}, err
	}
	if st.Worker = nameOf(w); !w.Same(l.worker) {
		return haproxy.Look{Identity: st.Identity()}, nil
	}
	l.complete(ctx, f, w, &st)
	seen := haproxy.Look{Identity: st.Identity(), Surroundings: st.Surroundings(), OldWorkers: oldWorkersOf(ctx, l.master, w)}
	changed := l.changedBackends(backends)
	seen.More = l.addRerouted(entries, backends, changed) || l.hasFreed(backends)
	for name := range changed {
		if domain, ok := haproxy.DomainOf(name); ok {
			seen.Changed = append(seen.Changed, domain)
		}
	}
	slices.Sort(seen.Changed)
	return seen, nil
}

// complete adds to a state of the files what a State of everything has besides backends and rules.
func (l looker) complete(ctx context.Context, f configfile.Reading, w runtimeapi.Worker, st *haproxy.State) {
	st.Capabilities = haproxy.CapabilitiesOf(w.Version)
	loaded := l.loaded.Config
	if l.started.without(w) {
		loaded, st.Warnings = haproxy.Config{}, append(st.Warnings, l.started.warning())
	}
	st.Descriptors = descriptors(f.Base, w, loaded, l.started.maxConn)
	l.instance.checkRest(ctx, f, st)
}

// changedBackends are the names of the backends that came, went or changed.
func (l looker) changedBackends(backends []runtimeapi.Backend) map[string]bool {
	changed := map[string]bool{}
	for name := range l.backends {
		if _, there := slices.BinarySearchFunc(backends, name, compareName); !there {
			changed[name] = true
		}
	}
	for _, b := range backends {
		if was := l.backends[b.Name]; was == nil || !was.Like(b) {
			changed[b.Name] = true
		}
	}
	return changed
}

// addRerouted adds the backends whose entries of the map have changed. dangling is set if a changed entry leads to a backend that the process
// does not have: only a State of everything shows such an entry.
func (l looker) addRerouted(entries map[string]string, backends []runtimeapi.Backend, changed map[string]bool) (dangling bool) {
	add := func(backend string) {
		if backend != "" {
			changed[backend] = true
		}
	}
	for key, backend := range entries {
		if was := l.entries[key]; was != backend {
			add(was)
			add(backend)
			_, there := slices.BinarySearchFunc(backends, backend, compareName)
			dangling = dangling || !there
		}
	}
	for key, was := range l.entries {
		if _, there := entries[key]; !there {
			add(was)
		}
	}
	return dangling
}

// hasFreed reports whether a spare backend is free that the worker had used for something else.
func (l looker) hasFreed(backends []runtimeapi.Backend) bool {
	return slices.ContainsFunc(l.loaded.Spares, func(s haproxy.Backend) bool {
		i, there := slices.BinarySearchFunc(backends, s.Name, compareName)
		return l.busy[s.Name] && there && isFree(backends[i], s)
	})
}
