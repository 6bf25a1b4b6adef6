package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// A sticky is a client with the cookie of a server that lives.
type sticky struct {
	stop  chan struct{}
	done  sync.WaitGroup
	home  *host
	asked int
	wrong []string
}

func startSticky(t testing.TB, b *box, domain string, home *host) *sticky {
	t.Helper()
	c := &sticky{stop: make(chan struct{}), home: home}
	c.done.Go(func() {
		pause := time.NewTicker(loadPause())
		defer pause.Stop()
		client := harness.Client{Addr: b.web}
		defer client.Close()
		for {
			a, err := client.Get(domain, anchor, []string{"close", "keep-alive"}[c.asked%2])
			if c.asked++; err != nil || a.Status != http.StatusOK || a.Body != home.name || a.Cookie != "" {
				c.wrong = append(c.wrong, fmt.Sprintf("%s with cookie %q, %v", a, a.Cookie, err))
			}
			select {
			case <-pause.C:
			case <-c.stop:
				return
			}
		}
	})
	t.Cleanup(c.end)
	return c
}

// end may be called more than once, by one goroutine.
func (c *sticky) end() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.done.Wait()
}

// endsAtHome fails the test where a request with the cookie was not served by its server, or got another cookie.
func (c *sticky) endsAtHome(t testing.TB) {
	t.Helper()
	c.end()
	if n := len(c.wrong); n > 0 || c.asked < 20 {
		t.Errorf("%d of %d requests with the cookie of %s went elsewhere, the first: %q", n, c.asked, c.home.name, c.wrong[:min(n, 5)])
	}
}
