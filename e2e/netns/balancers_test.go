package netns

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

const changesSeed = 5

// changesWanted is how many changes there are: HAPSYNC_STORM, or 500.
func changesWanted(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv("HAPSYNC_STORM"), "500"))
	if err != nil || n < 1 {
		t.Fatalf("HAPSYNC_STORM: %q is not a number of changes", os.Getenv("HAPSYNC_STORM"))
	}
	return n
}

func TestTwoBalancersAreTheSameAfterRandomChanges(t *testing.T) {
	s := startServed(t, usualHAProxy(t), 2)
	loads := []*harness.Load{
		startLoad(t, s.client, s.balancers[0], domainA, domainB),
		startLoad(t, s.client, s.balancers[1], domainA, domainB),
	}
	c := newChanges(t, s, changesSeed)
	batches, cookies := 0, 0
	for made := 0; made < changesWanted(t); batches++ {
		for range min(1+c.random.IntN(50), changesWanted(t)-made) {
			c.change()
			made++
		}
		for _, b := range s.balancers {
			b.settles(t)
		}
		s.identical(t)
		if t.Failed() {
			t.Fatalf("after %d changes", made)
		}
		cookies += c.cookies(t)
	}
	t.Logf("%d changes, seed %d, in %d batches; %d cookies honoured", changesWanted(t), changesSeed, batches, cookies)
	for _, b := range s.balancers {
		b.ready(t)
	}
	for _, l := range loads {
		l.EndsLosing(t, 0)
	}
}

// cookies has each balancer give out cookies, and fails the test unless the other honours each, and both honour that of
// every host.
func (c *changes) cookies(t *testing.T) (n int) {
	t.Helper()
	for _, domain := range slices.Sorted(maps.Keys(c.domains)) {
		hosts := c.domains[domain]
		for _, name := range slices.Sorted(maps.Keys(hosts)) {
			if hosts[name].state == "maint" {
				continue
			}
			for _, b := range c.site.balancers {
				c.site.honours(t, b, domain, name, hosts[name].at.name)
				n++
			}
		}
		n += c.site.exchange(t, domain, len(hosts))
	}
	return n
}

// exchange takes as many cookies as asked from each balancer to the other.
func (s *site) exchange(t *testing.T, domain string, times int) (n int) {
	t.Helper()
	for i, from := range s.balancers {
		to := s.balancers[1-i]
		for range times {
			given, err := get(s.client, from.ip, domain, "")
			if err != nil {
				t.Fatal(err)
			}
			if given.Cookie == "" {
				continue // no host takes new clients
			}
			s.honours(t, to, domain, given.Cookie, given.Body)
			n++
		}
	}
	return n
}

// honours waits until a balancer sends the client with a cookie to the same web server, and leaves it its cookie. It may
// take its first check of a new host.
func (s *site) honours(t *testing.T, b *balancer, domain, cookie, body string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("%s honours the cookie %q of %s", b.name, cookie, domain), func() error {
		a, err := get(s.client, b.ip, domain, cookie)
		if err == nil && (a.Status != http.StatusOK || a.Body != body || a.Cookie != "") {
			err = fmt.Errorf("got %s and cookie %q, want %q", a, a.Cookie, body)
		}
		return err
	})
}
