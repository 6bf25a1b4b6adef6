package compose

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

const (
	domainA = "a.abc.com"
	domainB = "b.abc.com"
	domainC = "test.abc.com" // of the profile docker; its containers would mix with those of the demo under one name
)

// ask makes one request over a connection of its own. The body is without its line end.
func ask(addr, domain, server string) (harness.Answer, error) {
	return askFor(addr, domain, server, harness.Patience)
}

func askFor(addr, domain, server string, patience time.Duration) (harness.Answer, error) {
	c := harness.Client{Addr: addr, Patience: patience}
	a, err := c.Get(domain, server, "close")
	a.Body = strings.TrimSpace(a.Body)
	return a, err
}

// serves is an error unless the domain is served, by nobody but the hosts, each of which answers.
func serves(addr, domain string, hosts ...string) error {
	seen := map[string]bool{}
	for range 20 { // a load asks at the same time: turns are not strict
		a, err := askFor(addr, domain, "", 2*time.Second)
		if err != nil {
			return err
		}
		if a.Status != http.StatusOK {
			return fmt.Errorf("%s: %s", domain, a)
		}
		seen[a.Body] = true
	}
	for _, host := range hosts {
		if !seen[host] {
			return fmt.Errorf("%s: %s is not among %v", domain, host, seen)
		}
	}
	if len(seen) != len(hosts) {
		return fmt.Errorf("%s is served by %v, not by %v alone", domain, seen, hosts)
	}
	return nil
}

// loadClients is how many clients a load has: as many requests, and no more, are under way at a time. Half of them keep
// their connection.
const loadClients = 4

// startLoad loads a.abc.com.
func startLoad(t *testing.T, addr string) *harness.Load {
	t.Helper()
	return startLoadOf(t, addr, domainA)
}

func startLoadOf(t *testing.T, addr, domain string) *harness.Load {
	t.Helper()
	l := &harness.Load{
		Client:  func() *harness.Client { return &harness.Client{Addr: addr} },
		Domains: []string{domain}, Clients: loadClients, Pause: 10 * time.Millisecond,
	}
	return l.Start(t)
}

// losesBetween ends the load, says what was lost, and fails the test where that is a request that was begun before start or
// after end.
func losesBetween(t *testing.T, l *harness.Load, start, end time.Time) {
	t.Helper()
	l.GoesOn(t)
	l.End()
	beyond := 0
	for _, f := range l.Failed() {
		if f.Began.Before(start) || f.Began.After(end) {
			beyond++
			t.Errorf("lost: begun %v after the start: %s", f.Began.Sub(start).Round(time.Millisecond), f.What)
		}
	}
	t.Logf("lost %d in the %v from the kill to the first right answers, and %d before or after",
		len(l.Failed())-beyond, end.Sub(start).Round(time.Millisecond), beyond)
}

// A download takes two seconds.
type download struct{ done chan error }

func startDownload(addr, server string) download {
	d := download{make(chan error, 1)}
	go func() {
		c := harness.Client{Addr: addr, Path: "/slow"}
		a, err := c.Get(domainA, server, "close")
		if err == nil && strings.Count(a.Body, "web") != 24 {
			err = fmt.Errorf("%s", a)
		}
		d.done <- err
	}()
	return d
}

// completes fails the test unless the whole answer came.
func (d download) completes(t *testing.T) {
	t.Helper()
	if err := <-d.done; err != nil {
		t.Errorf("a download under way: %v", err)
	}
}
