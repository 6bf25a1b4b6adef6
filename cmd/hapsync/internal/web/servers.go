package web

import (
	"context"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

const (
	// serversPace is the least time between two looks at all of HAProxy's servers, serversShare bounds the time that they take of
	// HAProxy's: one part in so many.
	serversPace  = time.Second
	serversShare = 20
	// serversWait is how long after a reading began a page waits for a look at the servers: what comes later is on the next one. So a page
	// comes within 100 ms.
	serversWait    = 50 * time.Millisecond
	serversTimeout = 5 * time.Second
	// besideWait is how long it waits, meanwhile, for a look at what stands beside the servers.
	besideWait = 20 * time.Millisecond
)

// servers shares one look at HAProxy's servers among all who ask.
type servers struct {
	mu   stdsync.Mutex
	last serverList
	of   Agent
	due  time.Time
	done chan struct{} // of the look that is under way; nil where none is
}

// begin begins a new look where one is due. done is that of the look that is under way; nil where none is.
func (s *servers) begin(ctx context.Context, st *state) (done <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of != st.subject.Agent {
		s.last, s.of, s.due = serverList{}, st.subject.Agent, time.Time{}
	}
	if s.done == nil && !time.Now().Before(s.due) {
		s.done = make(chan struct{})
		go s.look(context.WithoutCancel(ctx), st.subject.Agent, st.names(), s.done) // others wait for it, too
	}
	return s.done
}

// ended is the last look that has ended.
func (s *servers) ended() serverList {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// look reads the servers of all domains.
func (s *servers) look(ctx context.Context, agent Agent, names []string, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, serversTimeout)
	defer cancel()
	began := time.Now()
	found, err := agent.Servers(ctx, names...)
	list := serverList{at: began, by: map[string][]haproxy.ServerStatus{}, err: err}
	for _, server := range found {
		list.by[server.Domain] = append(list.by[server.Domain], server)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == agent {
		s.last, s.due = list, began.Add(max(serversPace, serversShare*time.Since(began)))
	}
	s.done = nil
	close(done)
}

// await waits for a look that is under way, up to a limit. There is none where done is nil.
func await(ctx context.Context, done <-chan struct{}, limit time.Duration) {
	if done == nil {
		return
	}
	patience := time.NewTimer(limit)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	case <-ctx.Done():
	}
}
