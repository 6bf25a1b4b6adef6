package e2e

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

const (
	loadWorkers = 3                    // with keep-alive; as many with a connection for each request
	loadPause   = 4 * time.Millisecond // between two requests of a worker
	loadLimit   = 5 * time.Minute      // when it ends by itself
)

// A load asks one domain steadily, from clients that keep their connection and from clients that do not.
type load struct {
	stop chan struct{}
	done sync.WaitGroup

	mu sync.Mutex
	// kept and fresh count the good answers, by body, over kept connections and over fresh ones.
	kept, fresh map[string]int
	failed      []string
}

// startLoad starts the load and returns when each worker has been served.
func startLoad(t testing.TB, b *box, domain string) *load {
	t.Helper()
	return startLoadOf(t, b, domain, "")
}

// startLoadOf is startLoad by clients with the cookie of a server, which may come and go.
func startLoadOf(t testing.TB, b *box, domain, server string) *load {
	t.Helper()
	l := &load{stop: make(chan struct{}), kept: map[string]int{}, fresh: map[string]int{}}
	for range loadWorkers {
		l.done.Go(func() { l.work(b.web, domain, server, "keep-alive", l.kept) })
		l.done.Go(func() { l.work(b.web, domain, server, "close", l.fresh) })
	}
	t.Cleanup(func() { l.end() })
	l.goesOn(t)
	return l
}

func (l *load) work(addr, domain, server, connection string, served map[string]int) {
	limit := time.After(loadLimit)
	pause := time.NewTicker(loadPause)
	defer pause.Stop()
	c := &client{addr: addr}
	defer c.close()
	for {
		a, err := c.get(domain, server, connection)
		l.count(a, err, connection, served)
		select {
		case <-pause.C:
		case <-l.stop:
			return
		case <-limit:
			return
		}
	}
}

func (l *load) count(a answer, err error, connection string, served map[string]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.failed = append(l.failed, fmt.Sprintf("%s: %v", connection, err))
	case a.status != http.StatusOK:
		l.failed = append(l.failed, fmt.Sprintf("%s: %s", connection, a))
	default:
		served[a.body]++
	}
}

// goesOn waits for more good answers of each kind, so that what happened before has been under load.
func (l *load) goesOn(t testing.TB) {
	t.Helper()
	const more = 20 * loadWorkers
	kept, fresh := l.counts()
	eventually(t, "the load is served", func() error {
		keptNow, freshNow := l.counts()
		if keptNow < kept+more || freshNow < fresh+more {
			return fmt.Errorf("%d and %d more answers, want %d of each kind", keptNow-kept, freshNow-fresh, more)
		}
		return nil
	})
}

func (l *load) counts() (kept, fresh int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.kept {
		kept += n
	}
	for _, n := range l.fresh {
		fresh += n
	}
	return kept, fresh
}

// served is how many answers came from the host so far.
func (l *load) served(h *host) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept[h.name] + l.fresh[h.name]
}

func (l *load) failures() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.failed)
}

// end stops the load. It may be called more than once.
func (l *load) end() {
	l.mu.Lock()
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.mu.Unlock()
	l.done.Wait()
}

// endsWithoutFailure waits for some more answers, stops the load, and fails the test where a request was not served.
func (l *load) endsWithoutFailure(t testing.TB) {
	t.Helper()
	l.goesOn(t)
	l.end()
	kept, fresh := l.counts()
	t.Logf("%d requests", kept+fresh+len(l.failed))
	if n := len(l.failed); n > 0 {
		t.Errorf("%d of %d requests failed, the first: %q", n, n+kept+fresh, l.failed[:min(n, 5)])
	}
}

// A request is under way: the server has answered, but not to the end.
type request struct{ resp *http.Response }

// startSlow makes a request to a server of a.abc.com that takes 2 s, and returns when the answer has begun.
func startSlow(t *testing.T, b *box, server string) *request {
	t.Helper()
	conn, err := net.Dial("tcp", b.web)
	if err != nil {
		t.Fatal(err)
	}
	c := client{}
	c.take(conn)
	t.Cleanup(c.close)
	resp, err := c.send("/slow", "a.abc.com", server, "close")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return &request{resp}
}

// endsAt fails the test unless the host's answer comes to its end.
func (r *request) endsAt(t *testing.T, h *host) {
	t.Helper()
	if a, err := receive(r.resp); err != nil || a.status != http.StatusOK || a.body != longName(h.name) {
		t.Errorf("the answer under way: got %s, %v", a, err)
	}
}

// idlers are clients that keep a connection and are idle.
type idlers []*client

func startIdlers(t *testing.T, b *box, domain string) idlers {
	t.Helper()
	clients := make(idlers, 10)
	for i := range clients {
		clients[i] = &client{addr: b.web}
		t.Cleanup(clients[i].close)
	}
	clients.areServed(t, domain)
	return clients
}

// areServed fails the test unless each client is served over the connection that it has kept.
func (c idlers) areServed(t *testing.T, domain string) {
	t.Helper()
	for _, idler := range c {
		if a, err := idler.get(domain, "", "keep-alive"); err != nil || a.status != http.StatusOK {
			t.Errorf("an idle client comes back: got %s, %v", a, err)
		}
	}
}
