package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// loadPause is between two requests of a client: a load asks 1,500 times a second in full, and else 300 times.
func loadPause() time.Duration { return time.Duration(often(4, 20)) * time.Millisecond }

type load struct{ *harness.Load }

func (l *load) goesOn(t testing.TB)             { t.Helper(); l.GoesOn(t) }
func (l *load) endsWithoutFailure(t testing.TB) { t.Helper(); l.EndsLosing(t, 0) }
func (l *load) served(h *host) int              { return l.Served(h.name) }
func (l *load) failures() int                   { return len(l.Failed()) }

// startLoad starts the load of a domain and returns when it is served.
func startLoad(t testing.TB, b *box, domain string) *load {
	t.Helper()
	return startLoadOf(t, b, domain, "")
}

// startLoadOf is startLoad by clients with the cookie of a server, which may come and go.
func startLoadOf(t testing.TB, b *box, domain, server string) *load {
	t.Helper()
	return startPaced(t, b, domain, server, loadPause())
}

// startPaced is startLoadOf with another pause.
func startPaced(t testing.TB, b *box, domain, server string, pause time.Duration) *load {
	t.Helper()
	l := &harness.Load{
		Client: func() *harness.Client { return &harness.Client{Addr: b.web} }, Domains: []string{domain},
		Clients: 6, Pause: pause, Server: server,
	}
	return &load{l.Start(t)}
}

// A request is under way: the server has answered, but not to the end.
type request struct{ resp *http.Response }

// startSlow makes a request to a server of a.abc.com that takes 2 s, and returns when the answer has begun.
func startSlow(t *testing.T, b *box, server string) *request {
	t.Helper()
	c := harness.Client{Addr: b.web, Path: "/slow"}
	t.Cleanup(c.Close)
	resp, err := c.Send("a.abc.com", server, "close")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return &request{resp}
}

// endsAt fails the test unless the host's answer comes to its end.
func (r *request) endsAt(t *testing.T, h *host) {
	t.Helper()
	if a, err := harness.Receive(r.resp); err != nil || a.Status != http.StatusOK || a.Body != harness.LongName(h.name) {
		t.Errorf("the answer under way: got %s, %v", a, err)
	}
}

// idlers are clients that keep a connection and are idle.
type idlers []*harness.Client

func startIdlers(t *testing.T, b *box, domain string) idlers {
	t.Helper()
	clients := make(idlers, 10)
	for i := range clients {
		clients[i] = &harness.Client{Addr: b.web}
		t.Cleanup(clients[i].Close)
	}
	clients.areServed(t, domain)
	return clients
}

// areServed fails the test unless each client is served over the connection that it has kept.
func (c idlers) areServed(t *testing.T, domain string) {
	t.Helper()
	for _, idler := range c {
		if a, err := idler.Get(domain, "", "keep-alive"); err != nil || a.Status != http.StatusOK {
			t.Errorf("an idle client comes back: got %s, %v", a, err)
		}
	}
}
