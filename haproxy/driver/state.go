package driver

import (
	"context"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
)

// State reads the files, then the process. With domains, it reads only those. The cost then does not depend on the number of other domains:
// unchanged files are not read again, and it does not check whether they can be edited.
func (h *Instance) State(ctx context.Context, domains ...string) (haproxy.State, error) {
	if len(domains) > 0 {
		return h.stateOf(ctx, domains)
	}
	f, err := h.files.Read()
	if err != nil {
		return haproxy.State{}, err
	}
	if h.learnFiles(ctx, f) {
		if f, err = h.files.Reread(); err != nil {
			return haproxy.State{}, err
		}
	}
	st := h.fileState(f)
	if !st.Missing {
		st.NoEdit = h.files.NoEdit(f)
	}
	defer h.waits.Begin("HAProxy's socket")()
	err = h.readLive(ctx, f, &st)
	h.checkRest(ctx, f, &st)
	return st, err
}

// fileState is the state of all files. Any goroutine may call it.
func (h *Instance) fileState(f configfile.Reading) haproxy.State {
	st := h.files.FileState(f, nil)
	st.NoWrite, st.Warnings = h.files.Unwritable(len(f.Text)), h.files.Warnings(f)
	return st
}

// checkRest completes a state of everything. Any goroutine may call it.
func (h *Instance) checkRest(ctx context.Context, f configfile.Reading, st *haproxy.State) {
	if st.Missing && !f.Restored && st.Down == nil && st.NoWrite == nil {
		r, _ := h.runtime(f.Base) // it has just answered
		st.NoWrite = h.keepRunning(ctx, r)
	}
	if warning := h.otherVersion(ctx, st.Capabilities.Version); warning != "" {
		st.Warnings = append(st.Warnings, warning)
	}
}

// stateOf is State for some domains.
func (h *Instance) stateOf(ctx context.Context, domains []string) (haproxy.State, error) {
	f, err := h.files.Reread()
	if err != nil {
		return haproxy.State{}, err
	}
	names := backendNames(domains)
	st := h.files.FileState(f, names)
	if err := h.readLive(ctx, f, &st, names...); err != nil {
		return haproxy.State{}, err
	}
	return st, nil
}

// Recall is State for some domains from the cache: as State or Run read them last, without asking HAProxy. ok is false if the cache lacks a
// domain, or if a file has changed. A caller that acts on it without a State in between has to compare the result of Run by another
// Recall, since Run reads back the backends that it changes. Only an Instance with Background has a cache.
func (h *Instance) Recall(domains ...string) (st haproxy.State, ok bool) {
	names := backendNames(domains)
	f, ok := h.files.Unchanged()
	if len(names) == 0 || !ok {
		return haproxy.State{}, false
	}
	backends, ok := h.cache.Backends(names)
	if !ok || !h.routed.worker.Same(h.cache.Worker) {
		return haproxy.State{}, false
	}
	st = h.files.FileState(f, names)
	err := h.takeLive(f, h.cache.Worker, backends, &st, names)
	return st, err == nil
}

// backendNames are the names of the domains' backends, sorted.
func backendNames(domains []string) []string {
	names := make([]string, len(domains))
	for i, d := range domains {
		names[i] = haproxy.BackendName(d)
	}
	slices.Sort(names)
	return names
}

// Servers reads the status of the servers of some domains, sorted by domain and name. A domain that the process does not have has no
// servers. Servers only reads, and may run at any time. Its cost grows with the number of domains. The error wraps ErrDown if the process
// does not answer.
func (h *Instance) Servers(ctx context.Context, domains ...string) ([]haproxy.ServerStatus, error) {
	_, r, err := h.open()
	if err != nil {
		return nil, err
	}
	return r.Servers(ctx, domains...)
}
