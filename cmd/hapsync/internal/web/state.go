package web

import (
	"context"
	"errors"
	"maps"
	"slices"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// A state is one reading of the agent. It never changes, and all requests share it.
type state struct {
	at      time.Time
	subject Subject
	status  sync.Status
	// snapshot is the registry as the agent knows it.
	snapshot registry.Snapshot
	servers  serverList
	// reloads are those of today; nil if unknown.
	reloads *int
	// about is what is wrong, by domain.
	about map[string]*trouble
	// domains are sorted by name; worst are the same domains, the worst first.
	domains []Domain
	worst   []*Domain
	changed <-chan struct{}
}

// A stateCache keeps the last state while it is current.
type stateCache struct {
	mu   stdsync.Mutex
	last *state
}

// maxAge is how long a state is current if nothing is known to have changed: servers may go up and down.
const maxAge = time.Second

// state is the present state of the agent.
func (s *Site) state(ctx context.Context) *state {
	s.reads.mu.Lock()
	defer s.reads.mu.Unlock()
	subject := s.subject()
	if last := s.reads.last; last != nil && last.subject.Agent == subject.Agent && last.current() {
		return last
	}
	st := &state{at: time.Now(), subject: subject, changed: subject.Changed()}
	st.status, st.snapshot = subject.Status(), subject.Registry()
	look := s.servers.begin(ctx, st)
	st.reloads = s.reloads.today(ctx, st)
	await(ctx, look, serversWait-time.Since(st.at))
	st.servers = s.servers.ended()
	st.digest()
	s.reads.last = st
	return st
}

func (st *state) current() bool {
	select {
	case <-st.changed:
		return false
	default:
		return time.Since(st.at) < maxAge
	}
}

// names are the domains of the registry, and those of which HAProxy still has servers.
func (st *state) names() []string {
	names := make([]string, 0, len(st.snapshot.Domains))
	for _, d := range st.snapshot.Domains {
		names = append(names, d.Name)
	}
	return append(names, st.leavingDomains()...)
}

// leavingDomains are those of servers that leave, or whose removal is held. The registry may not have them any more.
func (st *state) leavingDomains() []string {
	seen := map[string]bool{}
	for _, key := range st.status.Leaving() {
		seen[key.Domain()] = true
	}
	for _, a := range st.status.HeldPlan.Actions {
		seen[a.Change.Domain()] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// A serverList is the servers of all domains at a time.
type serverList struct {
	at time.Time // zero if they have not been read
	by map[string][]haproxy.ServerStatus
	// err is why they could not be read.
	err error
}

// of are the servers of a domain; known is false if they have not been read.
func (l serverList) of(domain string) (servers []haproxy.ServerStatus, known bool) {
	return l.by[domain], !l.at.IsZero() && l.err == nil
}

// unread is why the servers are not known; nil if they are.
func (l serverList) unread() error {
	if l.err == nil && l.at.IsZero() {
		return errNotRead
	}
	return l.err
}

var errNotRead = errors.New("HAProxy's servers are being read")
