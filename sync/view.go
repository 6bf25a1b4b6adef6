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

// A Looker is HAProxy without the methods that change anything. One goroutine owns Identity and State.
type Looker interface {
	// Identity returns the worker and the digest of the files. It costs next to nothing.
	Identity(ctx context.Context) (haproxy.Identity, error)
	// State reads a scope from the files and the process. Its cost grows with the scope.
	State(ctx context.Context, scope haproxy.Scope) (haproxy.State, error)
	// Servers returns the status of the servers of some domains. Any goroutine may call it.
	Servers(ctx context.Context, domains ...string) ([]haproxy.ServerStatus, error)
	// Waiting returns the longest wait of those that take long right now. Any goroutine may call it.
	Waiting() (wait haproxy.Wait, long bool)
}

// A view is the common part of an agent and a shadow: what they know of the registry, and their status.
type view struct {
	follower Follower
	looker   Looker
	log      *slog.Logger
	wake     chan struct{} // of size one

	mu     stdsync.Mutex // guards what follows
	inbox  inbox
	status Status
	// unreported says why reports do not reach the registry; empty if they do.
	unreported string
	watched    chan struct{} // closed when the status changes next; nil if nothing waits for it
}

func newView(follower Follower, looker Looker, log *slog.Logger) view {
	return view{
		follower: follower, looker: looker, log: log, wake: make(chan struct{}, 1),
		status: Status{Reasons: []string{notRead}},
	}
}

// An inbox has what the follower has reported. The loop empties it of switched, fresh, all, byHand, changed and expired.
type inbox struct {
	snapshot registry.Snapshot
	known    bool              // there is a snapshot
	fresh    bool              // something has come in
	switched registry.Snapshot // the first one of another cluster or an earlier revision; zero if there is none
	all      bool              // any domain may have changed
	byHand   bool              // an operator asks for a resync
	changed  unappliedChanges  // the domains that have changed
	expired  map[string]bool   // as in registry.Update
	heard    time.Time         // when the last change came in
}

// Status returns the status of the agent. Any goroutine may call it at any time.
func (v *view) Status() Status {
	s := v.lastStatus()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.unreported != "" {
		s.Last.Warnings = append(slices.Clone(s.Last.Warnings), v.unreported)
	}
	if wait, long := v.looker.Waiting(); long {
		s.Waiting = wait
		s.Reasons = append([]string{"waiting for " + wait.String()}, s.Reasons...)
	}
	return s
}

// lastStatus is the status as of the last pass.
func (v *view) lastStatus() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.status
	s.Passes = slices.Clone(s.Passes)
	s.Reasons = append([]string(nil), s.Reasons...)
	return s
}

// NoteReporting takes into the status, as a warning, why reports do not reach the registry; nil if they do. The agent stays ready: HAProxy
// has what the registry says. Any goroutine may call it.
func (v *view) NoteReporting(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.unreported = ""
	if err != nil {
		v.unreported = "the agent's reports do not reach the registry: " + text(err)
	}
}

// Registry returns the last snapshot of the registry; the zero Snapshot before the first one. It is never written to. Any goroutine
// may call it.
func (v *view) Registry() registry.Snapshot {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.inbox.snapshot
}

// Changed returns a channel that is closed at the next change of the status: after a pass, and when the registry is lost or back. An
// agent on which it is not called makes no channels. Any goroutine may call it.
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

// Servers reads the status of the servers of some domains from HAProxy's process. Any goroutine may call it.
func (v *view) Servers(ctx context.Context, domains ...string) ([]haproxy.ServerStatus, error) {
	return v.looker.Servers(ctx, domains...)
}

// Explain says what happens to a domain's hosts, from the agent's knowledge and the servers that the caller has read. down says why they
// could not be read; nil if they were. Unlike Syncer.Explain it reads neither etcd nor HAProxy, and gives no keys and no plan.
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
	v.inbox.fresh, v.inbox.byHand = true, true
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
	if sameRegistry(in.snapshot, u.Snapshot) != nil {
		in.switched = u.Snapshot
		v.status.forgetRevisions() // together with what follows: revisions of two histories are never compared
	}
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
	v.status.hear(u.Snapshot.Revision)
	v.mu.Unlock() // no notify: the pass changes the status
	v.wakeLoop()
}

// takeInbox returns the inbox and empties it.
func (v *view) takeInbox() inbox {
	v.mu.Lock()
	defer v.mu.Unlock()
	in := v.inbox
	v.inbox.fresh, v.inbox.all, v.inbox.byHand, v.inbox.changed, v.inbox.expired = false, false, false, nil, nil
	v.inbox.switched = registry.Snapshot{}
	return in
}

// lastHeard returns when the last change came in, and whether the inbox has something that no pass has taken.
func (v *view) lastHeard() (heard time.Time, unread bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.inbox.heard, v.inbox.fresh
}

func (v *view) lost(err error) {
	v.mu.Lock()
	again := v.status.Lost != ""
	v.status.Lost = text(err)
	v.status.Reasons = v.status.reasons(v.inbox.known)
	v.notify()
	v.mu.Unlock()
	switch {
	case err == nil:
		v.log.Info("the registry is back")
	case again:
		v.log.Warn("the registry is still lost, now for another reason", "error", err)
	default:
		v.log.Warn("the registry is lost, HAProxy stays as it is", "error", err)
	}
}
