package driver

import (
	"context"
	"errors"

	"github.com/hapsync/hapsync/haproxy"
)

// A Driver is one HAProxy for package sync. The methods of the process (Identity, State, Cached, Run) belong to one goroutine, those of the
// file (Lock, Read, Write, Reload) to another. Both may run at the same time.
type Driver struct{ *Instance }

// noDomain is a domain that cannot exist. Its State is cheap, and tells who HAProxy is.
const noDomain = "hapsync.invalid"

// Identity identifies HAProxy's process and files, at a very low cost.
func (d Driver) Identity(ctx context.Context) (haproxy.Identity, error) {
	st, err := d.Instance.State(ctx, noDomain)
	return st.Identity(), err
}

// State reads a scope: the files, then the process.
func (d Driver) State(ctx context.Context, scope haproxy.Scope) (haproxy.State, error) {
	switch {
	case scope.All():
		return d.Instance.State(ctx)
	case scope.Empty():
		return d.Instance.State(ctx, noDomain)
	}
	return d.Instance.State(ctx, scope.Names()...)
}

// Cached is the State of a scope from the cache: as State or Run read it last, without asking HAProxy. ok is false if the cache lacks a
// domain, or if a file has changed.
func (d Driver) Cached(scope haproxy.Scope) (haproxy.State, bool) {
	if scope.All() || scope.Empty() {
		return haproxy.State{}, false
	}
	return d.Recall(scope.Names()...)
}

// Run makes changes in the process, and reads back the result.
func (d Driver) Run(ctx context.Context, changes []haproxy.Change) (haproxy.Outcome, error) {
	var out haproxy.Outcome
	err := d.Instance.Run(ctx, changes)
	var run *haproxy.RunError
	if err != nil && !errors.As(err, &run) {
		return out, err
	}
	failed := map[haproxy.Change]bool{}
	if run != nil {
		for _, f := range run.Failures {
			failed[f.Change] = true
			if _, remove := f.Change.(haproxy.RemoveServer); !remove {
				out.Refused = append(out.Refused, f)
			}
		}
	}
	for _, c := range changes {
		if remove, ok := c.(haproxy.RemoveServer); ok && (failed[c] || d.cache.Has(remove.Key())) {
			out.Draining = append(out.Draining, remove)
		}
		if remove, ok := c.(haproxy.RemoveBackend); ok && d.domains.has(remove.Name) {
			out.Staying = append(out.Staying, remove)
		}
	}
	return out, nil
}

// Read is the managed part of the file, and the file's digest.
func (d Driver) Read() (haproxy.Config, haproxy.Digest, error) {
	f, err := d.files.Reread()
	return f.Managed.Config, f.Digest, err
}

// Loaded is the managed part of the file that the process has loaded, as far as that is known.
func (d Driver) Loaded() (haproxy.Config, error) {
	f, err := d.files.Reread()
	if err != nil {
		return haproxy.Config{}, err
	}
	text, err := d.lastText()
	return d.files.Loaded(f, text).Config, err
}

// Write writes the wanted configuration to the managed file, after haproxy -c has accepted it.
func (d Driver) Write(ctx context.Context, e haproxy.Edit) error {
	return d.files.Write(ctx, e, d.rememberLoaded)
}
