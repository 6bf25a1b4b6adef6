package driver

import (
	"context"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// State reads the files, then the process. With domains, it reads only theirs, at a cost that does not grow with the
// others: the files are not read again where they are as they were, and whether they can be edited is not looked at.
func (h *Instance) State(ctx context.Context, domains ...string) (haproxy.State, error) {
	if len(domains) > 0 {
		return h.stateOf(ctx, domains)
	}
	f, err := h.files.Read()
	if err != nil {
		return haproxy.State{}, err
	}
	if h.learnFiles(ctx, f) {
		if f, err = h.files.Read(); err != nil {
			return haproxy.State{}, err
		}
	}
	st := h.files.FileState(f, nil)
	st.NoWrite = h.files.Unwritable(len(f.Text))
	if !st.Missing {
		st.NoEdit = h.files.NoEdit(f)
	}
	st.Warnings = h.files.Warnings(f)
	defer h.waits.Begin("HAProxy's socket")()
	err = h.readLive(ctx, f, &st)
	if warning := h.otherVersion(ctx, st.Capabilities.Version); warning != "" {
		st.Warnings = append(st.Warnings, warning)
	}
	return st, err
}

// stateOf is the State of some domains.
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

// Recall is the State of some domains as State or Run read it last, without a look at HAProxy. It is not ok where that is
// not known of each, or where a file is not as it was. A caller that acts on it without a State in between has to compare what
// Run leaves, by another Recall: Run reads back the backends that it changes. Only an Instance with Background remembers.
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

// backendNames are those of some domains, sorted.
func backendNames(domains []string) []string {
	names := make([]string, len(domains))
	for i, d := range domains {
		names[i] = haproxy.BackendName(d)
	}
	slices.Sort(names)
	return names
}

// Servers reads how the servers of some domains are, sorted by domain and name. A domain that the process does not have
// has none. It only reads, and may run beside everything else, at a cost that grows with the number of domains asked for.
// The error wraps ErrDown where the process does not answer.
func (h *Instance) Servers(ctx context.Context, domains ...string) ([]haproxy.ServerStatus, error) {
	f, err := h.files.Reread()
	if err != nil {
		return nil, err
	}
	r, err := h.runtime(f.Base)
	if err != nil {
		return nil, err
	}
	return r.Servers(ctx, domains...)
}
