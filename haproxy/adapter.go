package haproxy

import (
	"context"
	"errors"
	"slices"
)

// A Driver is one HAProxy as package sync works on it: the process and the file, each with its own owner. The methods of the
// process (Identity, State, Cached, Run) belong to one goroutine, those of the file (Lock, Read, Write, Reload) to another,
// and the two may run at the same time.
type Driver struct{ *Instance }

// noDomain is a domain that cannot be: a State of it is a cheap look at HAProxy.
const noDomain = "hapsync.invalid"

// Identity tells who HAProxy is, at next to no cost.
func (d Driver) Identity(ctx context.Context) (Identity, error) {
	st, err := d.Instance.State(ctx, noDomain)
	return st.Identity(), err
}

// State reads a scope: the files, then the process.
func (d Driver) State(ctx context.Context, scope Scope) (State, error) {
	switch {
	case scope.All():
		return d.Instance.State(ctx)
	case scope.Empty():
		return d.Instance.State(ctx, noDomain)
	}
	return d.Instance.State(ctx, scope.Names()...)
}

// Cached is the State of a scope as State or Run read it last, without a look at HAProxy. It is not ok where that is not known
// of each domain, or where a file is not as it was.
func (d Driver) Cached(scope Scope) (State, bool) {
	if scope.All() || scope.Empty() {
		return State{}, false
	}
	return d.Recall(scope.Names()...)
}

// Run makes changes of servers in the process, and reads back what became of them.
func (d Driver) Run(ctx context.Context, changes []Change) (Outcome, error) {
	var out Outcome
	err := d.Instance.Run(ctx, changes)
	var run *RunError
	if err != nil && !errors.As(err, &run) {
		return out, err
	}
	failed := map[Change]bool{}
	if run != nil {
		for _, f := range run.Failures {
			failed[f.Change] = true
			if _, remove := f.Change.(RemoveServer); !remove {
				out.Refused = append(out.Refused, f)
			}
		}
	}
	for _, c := range changes {
		if remove, ok := c.(RemoveServer); ok && (failed[c] || d.has(remove)) {
			out.Draining = append(out.Draining, remove)
		}
	}
	return out, nil
}

// has reports whether a server is still there, as far as that was read back.
func (d Driver) has(c RemoveServer) bool {
	if d.recollection == nil {
		return false
	}
	b, ok := d.recollection.backends[c.Backend]
	return ok && slices.ContainsFunc(b.Servers, func(s liveServer) bool { return s.Name == c.Server.Name })
}

// Read is the managed part of the file as it stands, and its digest.
func (d Driver) Read() (Config, Digest, error) {
	f, err := d.reread()
	return f.managed.config, f.digest, err
}

// An Edit is what the managed file is to say.
type Edit struct {
	Want Config
	// Base is the digest of the file that the edit was made for; another one is ErrConflict.
	Base Digest
	// Rewrite asks for the file to be written anew as text, and says why; empty means a transaction where one can edit the
	// file without loss.
	Rewrite string
}

// Write makes the managed file say what is wanted, once haproxy -c has accepted it.
func (d Driver) Write(ctx context.Context, e Edit) error {
	f, err := d.reread()
	if err != nil {
		return err
	}
	if e.Rewrite != "" || d.noEdit(f.text) != "" {
		return d.Rewrite(ctx, e.Want, e.Base)
	}
	return d.Commit(ctx, e.Want, e.Base)
}
