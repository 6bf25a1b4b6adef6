package harness

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// A Load asks domains steadily, from clients that keep their connection and from as many that do not.
type Load struct {
	Client  func() *Client // makes one that has no connection yet
	Domains []string
	Clients int           // of each domain; as many requests, and no more, are under way at a time
	Pause   time.Duration // between two requests of a client
	Server  string        // whose cookie the clients have, unless it is empty; the server may come and go
	Sticky  bool          // the second half of the clients have the cookie that they were given last

	stop context.CancelFunc
	done sync.WaitGroup

	mu     sync.Mutex
	good   [2]map[string]int // answers by body, over kept connections and over fresh ones
	failed []Failure
	moved  int
	slow   time.Duration
}

// A Failure is a request that was not served.
type Failure struct {
	Began time.Time
	What  string
}

func (f Failure) String() string { return f.Began.Format("15:04:05.000 ") + f.What }

// Start starts the load and returns when it is served. It ends with the test.
func (l *Load) Start(t testing.TB) *Load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l.stop, l.good = stop, [2]map[string]int{{}, {}}
	for _, domain := range l.Domains {
		for i := range l.Clients {
			l.done.Go(func() { l.work(ctx, domain, i) })
		}
	}
	t.Cleanup(l.End)
	l.GoesOn(t)
	return l
}

// work is one client: with a connection for each request, or with one for all.
func (l *Load) work(ctx context.Context, domain string, number int) {
	c := l.Client()
	defer c.Close()
	pause := time.NewTicker(l.Pause)
	defer pause.Stop()
	for server := l.Server; ; {
		began := time.Now()
		a, err := c.Get(domain, server, []string{"keep-alive", "close"}[number%2])
		moves := l.Sticky && number >= l.Clients/2 && a.Cookie != ""
		l.count(began, domain, number%2, moves && server != "", a, err)
		if moves {
			server = a.Cookie
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
}

func (l *Load) count(began time.Time, domain string, kind int, moved bool, a Answer, err error) {
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow = max(l.slow, took)
	if moved {
		l.moved++
	}
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("%s", a)
	}
	if err != nil {
		what := fmt.Sprintf("%s, over a %s connection, after %s: %v", domain, []string{"kept", "fresh"}[kind], took.Round(time.Millisecond), err)
		l.failed = append(l.failed, Failure{began, what})
		return
	}
	l.good[kind][a.Body]++
}

// GoesOn waits for more good answers of each kind, so that what happened before has been under load.
func (l *Load) GoesOn(t testing.TB) {
	t.Helper()
	more := 10 * l.Clients
	kept, fresh := l.counts()
	Eventually(t, "the load is served", func() error {
		keptNow, freshNow := l.counts()
		if keptNow < kept+more || freshNow < fresh+more {
			return fmt.Errorf("%d and %d more answers, want %d of each kind; %d requests lost", keptNow-kept, freshNow-fresh, more, len(l.Failed()))
		}
		return nil
	})
}

func (l *Load) counts() (kept, fresh int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.good[0] {
		kept += n
	}
	for _, n := range l.good[1] {
		fresh += n
	}
	return kept, fresh
}

// Served is how many good answers had the body so far.
func (l *Load) Served(body string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.good[0][body] + l.good[1][body]
}

// Failed are the requests that have been lost so far.
func (l *Load) Failed() []Failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.failed)
}

// Moved is how many times a client that had a cookie was given another one.
func (l *Load) Moved() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.moved
}

// End stops the load. It may be called more than once.
func (l *Load) End() {
	l.stop()
	l.done.Wait()
}

// EndsLosing waits for some more answers, stops the load, and fails the test where more than so many requests were lost.
func (l *Load) EndsLosing(t testing.TB, lost int) {
	t.Helper()
	l.GoesOn(t)
	l.End()
	kept, fresh := l.counts()
	t.Logf("served %d requests, the slowest in %s; lost %d", kept+fresh, l.slow.Round(time.Millisecond), len(l.failed))
	for _, f := range l.failed[:min(len(l.failed), 10)] {
		t.Logf("lost: %s", f)
	}
	if len(l.failed) > lost {
		t.Errorf("lost %d requests, want %d at most", len(l.failed), lost)
	}
}
