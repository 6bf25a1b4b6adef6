package web

import (
	"context"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

const (
	serversPace    = time.Second     // minimum time between two reads of all servers
	serversShare   = 20              // reads take at most 1/20 of HAProxy's time
	serversTimeout = 5 * time.Second // of one read

	// A page waits this long for a read of the servers, and for other reads. What comes later is on the next page. So a page comes
	// within 100 ms.
	serversWait = 50 * time.Millisecond
	otherWait   = 20 * time.Millisecond
)

// A serverCache shares one read of HAProxy's servers among all requests.
type serverCache struct {
	mu   stdsync.Mutex
	last serverList
	of   Agent
	due  time.Time
	done chan struct{} // of the running read; nil if there is none
}

// begin begins a new read if one is due. done is that of the running read; nil if there is none.
func (s *serverCache) begin(ctx context.Context, st *state) (done <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of != st.subject.Agent {
		s.last, s.of, s.due = serverList{}, st.subject.Agent, time.Time{}
	}
	if s.done == nil && !time.Now().Before(s.due) {
		s.done = make(chan struct{})
		go s.read(context.WithoutCancel(ctx), st.subject.Agent, st.names(), s.done) // other requests wait for it, too
	}
	return s.done
}

// ended is the result of the last read that has ended.
func (s *serverCache) ended() serverList {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// read reads the servers of all domains.
func (s *serverCache) read(ctx context.Context, agent Agent, names []string, done chan struct{}) {
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

// await waits for a read, up to a limit. done may be nil.
func await(ctx context.Context, done <-chan struct{}, limit time.Duration) {
	if done == nil {
		return
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}
