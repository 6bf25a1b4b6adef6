package sync

import (
	"context"
	"errors"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// Registry is the registry as the agent last heard of it; the zero Snapshot before that. It is never written to. Any goroutine may call it.
func (a *Agent) Registry() registry.Snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inbox.snapshot
}

// Changed returns a channel that is closed when the status changes next: after a pass, and where the registry is lost or back. It costs nothing while it is not called. Any
// goroutine may call it.
func (a *Agent) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watched == nil {
		a.watched = make(chan struct{})
	}
	return a.watched
}

// notify closes the channel that Changed has returned. The caller holds a.mu.
func (a *Agent) notify() {
	if a.watched != nil {
		close(a.watched)
		a.watched = nil
	}
}

// Servers reads how the servers of some domains are, from HAProxy's process. Any goroutine may call it.
func (a *Agent) Servers(ctx context.Context, domains ...string) ([]haproxy.ServerStatus, error) {
	return a.cfg.Process.Servers(ctx, domains...)
}

// Explain says how a domain's hosts are, by what the agent knows and the servers that the caller has read; down says why it could
// not, and is nil where it could. Other than Syncer.Explain it asks neither etcd nor HAProxy: there are no keys and no plan in it.
func (a *Agent) Explain(domain string, servers []haproxy.ServerStatus, down error) Explanation {
	s, snapshot := a.Status(), a.Registry()
	e := Explanation{Domain: domain, Revision: snapshot.Revision, HAProxy: down, Held: s.Held, Ruled: true, prefix: snapshot.Prefix}
	if snapshot.Revision == 0 {
		e.Registry = errors.New(notRead)
	}
	report := s.Last
	report.Plan = Plan{}
	b := explainer{Explanation: e, pass: &pass{snapshot: snapshot, report: report}, kept: s.Overrides}
	b.Hosts = b.hosts("", nil, servers)
	return b.Explanation
}
