package sync

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hapsync/hapsync/registry"
)

// tenants is a registry of one domain with many hosts and four others with two.
func tenants(revision registry.Revision, many int) registry.Snapshot {
	s := registry.Snapshot{Prefix: "/services/web"}
	big := domain("big.abc.com")
	for n := range many {
		big.Hosts = append(big.Hosts, host(fmt.Sprintf("s%02d", n), "10.0.0.1:80"))
	}
	for n := range 4 {
		s = revised(s, revision, domain(fmt.Sprintf("a%d.abc.com", n), host("s1", "10.0.1.1:80"), host("s2", "10.0.1.2:80")))
	}
	if many > 0 {
		s = revised(s, revision, big)
	}
	s.Revision = revision
	return s
}

func TestADomainThatRemovesItsOwnHostsIsItsOwnMatter(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(tenants(1, 13), v32), func(t *testing.T, i inn) {
		i.registry.tell(tenants(1, 13))
		synctest.Wait()
		i.registry.change(tenants(2, 0), "big.abc.com")
		synctest.Wait()
		moved := tenants(3, 0)
		moved.Domains[0].Hosts[0].Weight = 7
		i.registry.change(moved, "a0.abc.com")
		elapse(5 * fileDelay)
		now := i.haproxy.now()
		if big, _ := backendOf(now.live, "big.abc.com"); len(big.Servers) > 0 || i.Status().Held != "" || i.Status().Applied != 3 {
			t.Errorf("%d servers are left, held %q, applied %d", len(big.Servers), i.Status().Held, i.Status().Applied)
		}
	})
}

func TestRemovalsThatAreHeldHoldNothingElse(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(tenants(1, 13), v32), func(t *testing.T, i inn) {
		i.registry.tell(tenants(1, 13))
		synctest.Wait()
		gone := tenants(2, 0)
		gone.Domains[1].Hosts = gone.Domains[1].Hosts[:1] // an ordinary removal of another domain
		i.registry.change(gone, "a1.abc.com", "big.abc.com")
		synctest.Wait()
		now := i.haproxy.now()
		big, _ := backendOf(now.live, "big.abc.com")
		other, _ := backendOf(now.live, "a1.abc.com")
		if s := i.Status(); len(big.Servers) != 13 || len(other.Servers) != 1 || s.Ready() || !strings.Contains(s.Held, "big.abc.com") || s.Applied >= 2 {
			t.Fatalf("%d and %d servers, %q, applied %d", len(big.Servers), len(other.Servers), s.Reasons, s.Applied)
		}
		moved := revised(gone, 3)
		moved.Domains[0].Hosts[0].Weight = 7
		i.registry.change(moved, "a0.abc.com")
		elapse(2 * fileDelay)
		now = i.haproxy.now()
		if b, _ := backendOf(now.live, "a0.abc.com"); b.Servers[0].Weight != 7 || i.Status().Held == "" {
			t.Errorf("another domain does not follow: %v; held %q", b.Servers, i.Status().Held)
		}
		if b, _ := backendOf(now.file, "a0.abc.com"); b.Servers[0].Weight != 7 {
			t.Errorf("another domain does not follow in the file: %v", b.Servers)
		}
		back := tenants(4, 13)
		i.registry.change(back, "a1.abc.com", "a0.abc.com", "big.abc.com")
		synctest.Wait()
		if s := i.Status(); s.Held != "" || s.Applied != 4 {
			t.Errorf("held %q, applied %d, when the hosts are back", s.Held, s.Applied)
		}
	})
}

// TestTheFileFollowsADomainWhoseRemovalsAreHeld moves a host of that domain, also while the file cannot be written: the agent stays calm.
func TestTheFileFollowsADomainWhoseRemovalsAreHeld(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]int{"at once": 0, "after failures": 7} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, inLine(tenants(1, 13), v32), func(t *testing.T, i inn) {
				i.registry.tell(tenants(1, 13))
				synctest.Wait()
				gone := tenants(2, 1)
				gone.Domains[1].Hosts = gone.Domains[1].Hosts[:1]
				gone.Domains[4].Hosts[0].Weight = 7
				i.haproxy.change(func() { i.haproxy.failCommit = fails })
				i.registry.change(gone, "a1.abc.com", "big.abc.com")
				elapse(3 * fileDelay)
				if fails > 0 {
					i.isCalm(t)
				}
				if big, _ := backendOf(i.haproxy.now().file, "big.abc.com"); i.Status().Held == "" || len(big.Servers) != 13 || big.Servers[0].Weight != 7 {
					t.Errorf("held %q, %d servers, weight %d in the file", i.Status().Held, len(big.Servers), big.Servers[0].Weight)
				}
			})
		})
	}
}

func TestSyncDoesTheRestThoughRemovalsAreHeld(t *testing.T) {
	t.Parallel()
	m := inLine(tenants(1, 13), v32)
	gone := tenants(2, 0)
	gone.Domains[1].Hosts = gone.Domains[1].Hosts[:1]
	gone.Domains[0].Hosts[0].Weight = 7
	report, err := newSyncer(t, source{snapshot: gone}, m, Policy{}).Sync(t.Context())
	var held *HeldError
	big, _ := backendOf(m.live, "big.abc.com")
	if b, _ := backendOf(m.file, "a0.abc.com"); !errors.As(err, &held) || !strings.Contains(report.Held, "big.abc.com") || len(big.Servers) != 13 || b.Servers[0].Weight != 7 {
		t.Errorf("%v, %d servers, %v", err, len(big.Servers), b.Servers)
	}
}
