package sync

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

func bindsOf(addrs ...string) haproxy.Binds {
	b := haproxy.Binds{Listeners: map[netip.AddrPort]string{}, Local: map[netip.Addr]bool{netip.MustParseAddr("10.0.0.9"): true}}
	for _, a := range addrs {
		b.Listeners[netip.MustParseAddrPort(a)] = "frontend webin (hapsync.cfg:2)"
	}
	return b
}

// atOwnAddresses are the hosts that problems say are at HAProxy's own addresses.
func atOwnAddresses(problems []registry.Problem) (names []string) {
	for _, p := range problems {
		if strings.Contains(p.Reason, "HAProxy itself listens there: frontend webin (hapsync.cfg:2)") && strings.HasSuffix(p.Key, "/"+p.Domain+"/"+p.Host+"/ip") {
			names = append(names, p.Domain+"/"+p.Host)
		}
	}
	return names
}

func TestAHostAtHAProxysOwnAddressIsLeftOutInEveryPass(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	m.binds = bindsOf("0.0.0.0:80", "10.1.0.1:443")
	told := func(t *testing.T, i inn, want ...string) {
		t.Helper()
		if s := i.Status(); !slices.Equal(atOwnAddresses(s.Last.Problems), want) || !s.Ready() || s.Applied != s.Seen {
			t.Errorf("%+v, ready %v, applied %d of %d, want %v", s.Last.Problems, s.Ready(), s.Applied, s.Seen, want)
		}
		for _, c := range []haproxy.Config{i.haproxy.now().file, i.haproxy.now().live} {
			for _, b := range c.Backends {
				for _, s := range b.Servers {
					if i.haproxy.now().binds.At(s.Addr) != "" {
						t.Errorf("%s/%s is at %s", b.Name, s.Name, s.Addr)
					}
				}
			}
		}
	}
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		evil := twoDomains()
		evil.Revision++
		evil.Domains[0].Hosts[1].Addr = netip.MustParseAddrPort("10.0.0.9:80") // it keeps its last good address
		evil.Domains[1].Hosts = append(evil.Domains[1].Hosts, host("server2", "10.1.0.1:443"))
		i.registry.change(evil, "a.abc.com", "b.abc.com")
		elapse(2 * fileDelay)
		told(t, i, "a.abc.com/server2", "b.abc.com/server2")
		if b, _ := backendOf(i.haproxy.now().live, "a.abc.com"); len(b.Servers) != 2 || b.Servers[1].Addr.String() != "10.0.0.1:10001" {
			t.Errorf("%v", b.Servers)
		}
		again := afterThat(evil)
		again.Domains[1].Hosts[0].Weight = 7 // a pass over another domain
		i.registry.change(again, "b.abc.com")
		synctest.Wait()
		told(t, i, "a.abc.com/server2", "b.abc.com/server2")
		elapse(2 * time.Minute) // passes over everything
		told(t, i, "a.abc.com/server2", "b.abc.com/server2")
		good := afterThat(again)
		good.Domains[1].Hosts = good.Domains[1].Hosts[:1]
		i.registry.change(good, "b.abc.com")
		elapse(2 * fileDelay)
		told(t, i, "a.abc.com/server2")
	})
}

// afterThat is a later snapshot of the same.
func afterThat(s registry.Snapshot) registry.Snapshot {
	s.Revision++
	s.Domains = copied(s.Domains)
	for i := range s.Domains {
		s.Domains[i].Hosts = slices.Clone(s.Domains[i].Hosts)
	}
	return s
}

func TestExplainSaysWhyAHostAtHAProxysOwnAddressIsLeftOut(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	m.binds = bindsOf("10.0.0.9:80")
	s := twoDomains()
	s.Domains[1].Hosts = append(s.Domains[1].Hosts, host("server2", "10.0.0.9:80"))
	e, err := newSyncer(t, source{snapshot: s}, m, Policy{}).Explain(t.Context(), "b.abc.com", "server2")
	if err != nil || e.Hosts[0].Verdict != NotInRotation || !strings.Contains(e.Hosts[0].Why, "server2/ip: address 10.0.0.9:80 is refused: HAProxy itself") {
		t.Errorf("%v, %+v", err, e.Hosts)
	}
}

func TestProblemsOfHostsAtHAProxysOwnAddressesAreBounded(t *testing.T) {
	t.Parallel()
	d := domain("a.abc.com")
	for n := range 300 {
		d.Hosts = append(d.Hosts, host(fmt.Sprintf("s%03d", n), "10.0.0.9:80"))
	}
	if d, bound := holdOwnAddresses(*d, "/p", bindsOf("10.0.0.9:80")); len(d.Hosts) != 0 || len(d.HeldHosts) != 300 || len(bound) != maxAddressProblems {
		t.Errorf("%d, %d, %d", len(d.Hosts), len(d.HeldHosts), len(bound))
	}
}

func BenchmarkOwnAddressesOfTenThousandDomains(b *testing.B) {
	var s registry.Snapshot
	for n := range 10_000 {
		s.Domains = append(s.Domains, domain(fmt.Sprintf("d%05d.abc.com", n), host("s1", "10.0.1.1:80"), host("s2", "10.0.1.2:80")))
	}
	binds := bindsOf("0.0.0.0:80", "0.0.0.0:443", "127.0.0.1:8404")
	for b.Loop() {
		for _, d := range s.Domains {
			holdOwnAddresses(*d, s.Prefix, binds)
		}
	}
}
