package sync

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A Looker is HAProxy as something that only looks has it: there is no method that changes anything. One goroutine owns Identity and
// State.
type Looker interface {
	// Identity tells who HAProxy is, at next to no cost.
	Identity(ctx context.Context) (haproxy.Identity, error)
	// State reads a scope, from the files and the process, at a cost in proportion to it.
	State(ctx context.Context, scope haproxy.Scope) (haproxy.State, error)
	// Servers is how the servers of some domains are. Any goroutine may call it.
	Servers(ctx context.Context, domains ...string) ([]haproxy.ServerStatus, error)
	// Waiting returns what takes long right now, the longest first. Any goroutine may call it.
	Waiting() (wait haproxy.Wait, long bool)
}

// A view is what an agent and a shadow have in common: what they know of the registry, and what they tell of themselves.
type view struct {
	follower Follower
	looker   Looker
	log      *slog.Logger
	wake     chan struct{} // of size one

	mu      stdsync.Mutex // guards what follows
	inbox   inbox
	status  Status
	watched chan struct{} // closed when the status changes next; nil if nothing waits for it
}

func newView(follower Follower, looker Looker, log *slog.Logger) view {
	return view{follower: follower, looker: looker, log: log, wake: make(chan struct{}, 1), status: Status{Reasons: []string{notRead}}}
}

// inbox is what is known of the registry; changed (with when that was heard of) and expired (as in registry.Update), all, and that
// there is something new, are not looked at yet.
type inbox struct {
	snapshot          registry.Snapshot
	known, fresh, all bool
	byHand            bool // an operator wants to see all done again
	changed           unappliedChanges
	expired           map[string]bool
	heard             time.Time // when changes were heard of last, looked at or not
}

// Status says how the agent is. It may be called at any time, from any goroutine.
func (v *view) Status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.status
	s.Passes = slices.Clone(s.Passes)
	s.Reasons = append([]string(nil), s.Reasons...)
	if wait, long := v.looker.Waiting(); long {
		s.Waiting = wait
		s.Reasons = append([]string{"waiting for " + wait.String()}, s.Reasons...)
	}
	return s
}

// Registry is the registry as the agent last heard of it; the zero Snapshot before that. It is never written to. Any goroutine may call it.
func (v *view) Registry() registry.Snapshot {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.inbox.snapshot
}

// Changed returns a channel that is closed when the status changes next: after a pass, and where the registry is lost or back. It costs nothing while it is not called. Any
// goroutine may call it.
func (v *view) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watched == nil {
		v.watched = make(chan struct{})
	}
	return v.watched
}

// notify closes the channel that Changed has returned. The caller holds v.mu.
func (v *view) notify() {
	if v.watched != nil {
		close(v.watched)
		v.watched = nil
	}
}

// Servers reads how the servers of some domains are, from HAProxy's process. Any goroutine may call it.
func (v *view) Servers(ctx context.Context, domains ...string) ([]haproxy.ServerStatus, error) {
	return v.looker.Servers(ctx, domains...)
}

// Explain says how a domain's hosts are, by what the agent knows and the servers that the caller has read; down says why it could
// not, and is nil where it could. Other than Syncer.Explain it asks neither etcd nor HAProxy: there are no keys and no plan in it.
func (v *view) Explain(domain string, servers []haproxy.ServerStatus, down error) Explanation {
	s, snapshot := v.Status(), v.Registry()
	e := Explanation{Domain: domain, Revision: snapshot.Revision, HAProxy: down, Held: s.Held, Ruled: true, prefix: snapshot.Prefix}
	if snapshot.Revision == 0 {
		e.Registry = errors.New(notRead)
	}
	report := s.Last
	report.Plan = Plan{}
	if d, ok := domainOf(snapshot, domain); ok {
		e.maintenance = d.Options.Maintenance
	}
	b := explainer{Explanation: e, pass: &pass{snapshot: snapshot, report: report}, kept: s.Overrides}
	b.Hosts = b.hosts("", nil, servers)
	return b.Explanation
}

// Resync makes the agent read and compare everything now.
func (v *view) Resync() {
	v.mu.Lock()
	v.inbox.all, v.inbox.fresh, v.inbox.byHand = true, true, true
	v.mu.Unlock()
	v.follower.Relist()
	v.wakeLoop()
}

func (v *view) wakeLoop() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

func (v *view) updated(u registry.Update) {
	v.mu.Lock()
	in := &v.inbox
	in.snapshot, in.known, in.fresh, in.all = u.Snapshot, true, true, in.all || u.All
	if in.changed == nil {
		in.changed, in.expired = unappliedChanges{}, map[string]bool{}
	}
	for _, name := range u.Changed {
		in.changed.add(name, u.Heard[name])
	}
	if len(u.Changed) > 0 {
		in.heard = time.Now()
	}
	for _, name := range u.Expired {
		in.expired[name] = true
	}
	v.status.prefix = u.Snapshot.Prefix
	v.status.Seen, v.status.Heard = u.Snapshot.Revision, u.Snapshot.Changed
	if v.status.Behind.IsZero() {
		v.status.Behind = time.Now()
	}
	v.mu.Unlock() // the status as others are told of it changes with the pass
	v.wakeLoop()
}

// open empties the inbox of what is to be looked at.
func (v *view) takeInbox() inbox {
	v.mu.Lock()
	defer v.mu.Unlock()
	in := v.inbox
	v.inbox.fresh, v.inbox.all, v.inbox.byHand, v.inbox.changed, v.inbox.expired = false, false, false, nil, nil
	return in
}

// news is when changes were heard of last, and whether some are not looked at yet.
func (v *view) lastHeard() (heard time.Time, unread bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.inbox.heard, v.inbox.fresh
}

func (v *view) lost(err error) {
	v.mu.Lock()
	v.status.Lost = text(err)
	v.status.Reasons = v.status.reasons(v.inbox.known)
	v.notify()
	v.mu.Unlock()
	if err != nil {
		v.log.Warn("the registry is lost, HAProxy stays as it is", "error", err)
	} else {
		v.log.Info("the registry is back")
	}
}
