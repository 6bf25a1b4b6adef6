package haproxy

import (
	"context"
	"slices"
	"strings"
)

// State reads the files, then the process. With domains, it reads only theirs, at a cost that does not grow with the
// others: the files are not read again where they are as they were, and whether they can be edited is not looked at.
func (h *Instance) State(ctx context.Context, domains ...string) (State, error) {
	if len(domains) > 0 {
		return h.stateOf(ctx, domains)
	}
	f, err := h.files.read()
	if err != nil {
		return State{}, err
	}
	st := State{
		File:   f.managed.config,
		Digest: f.digest, BaseDigest: f.baseDigest,
		Missing: strings.TrimSpace(f.text) == "",
		Foreign: f.managed.foreign,
		NoWrite: h.files.unwritable(len(f.text)),
	}
	if !st.Missing {
		st.NoEdit = h.files.noEdit(f.text, f.digest)
	}
	st.Warnings = h.files.warnings(f)
	defer h.waits.begin("HAProxy's socket")()
	err = h.readLive(ctx, f, &st)
	return st, err
}

// stateOf is the State of some domains.
func (h *Instance) stateOf(ctx context.Context, domains []string) (State, error) {
	f, err := h.files.reread()
	if err != nil {
		return State{}, err
	}
	names := backendNames(domains)
	st := h.files.fileState(f, names)
	if err := h.readLive(ctx, f, &st, names...); err != nil {
		return State{}, err
	}
	return st, nil
}

// Recall is the State of some domains as State or Run read it last, without a look at HAProxy. It is not ok where that is
// not known of each, or where a file is not as it was. Whoever acts on it without a State in between has to compare what
// Run leaves, by another Recall: Run reads back the backends that it changes. Only an Instance with Background remembers.
func (h *Instance) Recall(domains ...string) (st State, ok bool) {
	names := backendNames(domains)
	f, ok := h.files.Unchanged()
	if len(names) == 0 || !ok {
		return State{}, false
	}
	backends, ok := h.recollection.recall(names)
	if !ok {
		return State{}, false
	}
	st = h.files.fileState(f, names)
	err := h.takeLive(f, h.recollection.worker, backends, &st, names)
	return st, err == nil
}

// backendNames are those of some domains, sorted.
func backendNames(domains []string) []string {
	names := make([]string, len(domains))
	for i, d := range domains {
		names[i] = BackendName(d)
	}
	slices.Sort(names)
	return names
}

// Servers reads how the servers of some domains are, sorted by domain and name. A domain that the process does not have
// has none. It only reads, and may run beside everything else, at a cost that grows with the number of domains asked for.
// The error wraps ErrDown where the process does not answer.
func (h *Instance) Servers(ctx context.Context, domains ...string) ([]ServerStatus, error) {
	f, err := h.files.reread()
	if err != nil {
		return nil, err
	}
	r, err := h.runtime(f.base)
	if err != nil {
		return nil, err
	}
	return r.Servers(ctx, domains...)
}
