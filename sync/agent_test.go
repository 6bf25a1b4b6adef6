package sync

import (
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

func revised(s registry.Snapshot, revision registry.Revision, domains ...*registry.Domain) registry.Snapshot {
	s.Revision = revision
	s.Domains = append(copied(s.Domains), domains...)
	s.Keys = 2 * len(s.Domains)
	return s
}

// copied are domains that may be written to.
func copied(domains []*registry.Domain) []*registry.Domain {
	all := make([]*registry.Domain, 0, len(domains))
	for _, d := range domains {
		own := *d
		all = append(all, &own)
	}
	return all
}

func domain(name string, hosts ...registry.Host) *registry.Domain {
	return &registry.Domain{Name: name, Hosts: hosts}
}

// TestAnIdleAgentDoesNothingForADay is not parallel, as others would use fake beside it.
func TestAnIdleAgentDoesNothingForADay(t *testing.T) {
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		elapse(time.Hour)
		goroutines, bytes := runtime.NumGoroutine(), inUse()
		elapse(23 * time.Hour)
		const more = 256 << 10 // 6 bytes for each look at HAProxy
		if now := inUse(); now > bytes+more {
			t.Errorf("%d bytes are in use after a day, and %d after an hour", now, bytes)
		}
		if now := runtime.NumGoroutine(); now > goroutines {
			t.Errorf("%d goroutines after a day, and %d after an hour", now, goroutines)
		}
		if m := i.haproxy.now(); m.commands+m.version+m.reloads+m.edits+m.rewrites > 0 {
			t.Errorf("commands %d, writes %d, reloads %d", m.commands, m.version, m.reloads)
		}
		if i.registry.relists.Load() < 24*60-1 || !i.Status().Ready() {
			t.Errorf("%d relists, %v", i.registry.relists.Load(), i.Status().Reasons)
		}
	})
}

// inUse is the fake that is reachable.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers held
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestTheFirstReloadComesAtOnceTheOthersAreJoined(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		s := twoDomains()
		for n, name := range []string{"n1", "n2", "n3", "n4", "n5"} {
			s = revised(s, registry.Revision(900+n), domain(name, host("s", "10.0.0.1:80")))
			i.registry.tell(s)
			synctest.Wait()
			if want := 1; i.haproxy.now().reloads != want {
				t.Fatalf("%d reloads after %d new domains", i.haproxy.now().reloads, n+1)
			}
		}
		if _, written := backendOf(i.haproxy.now().file, "n5"); !written {
			t.Error("the file waits for the reload")
		}
		if i.Status().Applied == 904 {
			t.Error("what waits for a reload is called applied")
		}
		elapse(defaultReloadInterval)
		if _, served := backendOf(i.haproxy.now().live, "n5"); !served || i.haproxy.now().reloads != 2 {
			t.Errorf("%d reloads after the interval", i.haproxy.now().reloads)
		}
		if i.Status().Applied != 904 {
			t.Errorf("applied %d", i.Status().Applied)
		}
	})
}

// TestAReloadWaitsForAPartOfTheSplay has new domains, one of which goes again before the reload for it is made.
func TestAReloadWaitsForAPartOfTheSplay(t *testing.T) {
	t.Parallel()
	const splay = time.Hour
	inBubbleWith(t, inLine(twoDomains(), v32), func(c *AgentConfig) { c.ReloadSplay = splay }, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		reloads := func(s registry.Snapshot) (after time.Duration) {
			t.Helper()
			before, began := i.haproxy.now().reloads, time.Now()
			i.registry.tell(s)
			synctest.Wait()
			if _, written := backendOf(i.haproxy.now().file, "n1"); !written {
				t.Error("the file waits for the reload")
			}
			for i.haproxy.now().reloads == before && time.Since(began) <= splay {
				elapse(time.Second)
			}
			return time.Since(began)
		}
		s := revised(twoDomains(), 901, domain("n1", host("s", "10.0.0.1:80")))
		first := reloads(s)
		if first < 2*time.Second || first > splay {
			t.Errorf("the reload came after %s", first)
		}
		elapse(defaultReloadInterval)
		if _, served := backendOf(i.haproxy.now().live, "n1"); !served || i.haproxy.now().reloads != 1 || !i.Status().Ready() {
			t.Errorf("%d reloads, %q", i.haproxy.now().reloads, i.Status().Reasons)
		}
		s = revised(s, 902, domain("n2", host("s", "10.0.0.1:80")))
		second := reloads(s)
		if second > splay || second == first {
			t.Errorf("the second reload came after %s, the first after %s", second, first)
		}
		elapse(defaultReloadInterval)
		before := i.haproxy.now().reloads
		i.registry.tell(revised(s, 903, domain("n3", host("s", "10.0.0.1:80"))))
		synctest.Wait()
		i.registry.tell(revised(s, 904))
		elapse(splay)
		i.registry.tell(revised(s, 905, domain("n4", host("s", "10.0.0.1:80"))))
		synctest.Wait()
		if now := i.haproxy.now().reloads; now != before {
			t.Errorf("%d reloads: that of n3 is not needed, that of n4 is made without delay", now-before)
		}
		i.Resync()
		synctest.Wait()
		if now := i.haproxy.now().reloads; now != before+1 {
			t.Errorf("%d reloads: an operator who asks has to wait", now-before)
		}
	})
}

func TestAnotherRegistryIsHeldUntilItSaysTheSame(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*registry.Snapshot){
		"an earlier revision": func(s *registry.Snapshot) { s.Revision = 5 },
		"another cluster":     func(s *registry.Snapshot) { s.ClusterID = 99 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
				i.registry.tell(twoDomains())
				synctest.Wait()
				same, other := twoDomains(), twoDomains()
				other.Domains[0].Hosts[0].Addr = netip.MustParseAddrPort("10.9.9.9:9")
				change(&same)
				change(&other)
				i.registry.tell(other)
				synctest.Wait()
				if i.Status().Held == "" || i.Status().Ready() || i.haproxy.now().commands > 0 {
					t.Fatalf("not held: %+v", i.Status())
				}
				grown := other
				grown.Revision = 900
				i.registry.tell(grown)
				elapse(2 * heldPoll)
				if i.Status().Held == "" || i.haproxy.now().commands > 0 {
					t.Fatalf("not held when it has grown: %+v", i.Status())
				}
				i.registry.tell(same)
				synctest.Wait()
				if !i.Status().Ready() {
					t.Fatal(i.Status().Reasons)
				}
				i.registry.tell(other)
				synctest.Wait()
				if i.haproxy.now().commands != 1 || !i.Status().Ready() {
					t.Fatalf("%d commands, %v", i.haproxy.now().commands, i.Status().Reasons)
				}
			})
		})
	}
}

// TestAnotherRegistryIsHeldThoughAnOverrideIsLost restarts HAProxy after etcd was restored: what an operator had set on its socket is gone.
func TestAnotherRegistryIsHeldThoughAnOverrideIsLost(t *testing.T) {
	t.Parallel()
	for name, restored := range map[string]registry.Snapshot{"that says the same": twoDomains(), "that says more": withNew(twoDomains())} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
				i.registry.tell(twoDomains())
				synctest.Wait()
				i.haproxy.change(func() { i.haproxy.live.Backends[0].Servers[0].State = haproxy.Drain })
				i.Resync()
				elapse(time.Minute)
				if len(i.Status().Overrides) != 1 {
					t.Fatalf("overrides %v", i.Status().Overrides)
				}
				restored.ClusterID, restored.Revision = 2, 900
				i.haproxy.change(func() { i.haproxy.down = true })
				i.registry.tell(restored)
				elapse(3 * time.Second)
				i.haproxy.change(func() {
					i.haproxy.down = false
					i.haproxy.restart()
				})
				elapse(time.Minute)
				if same := len(restored.Domains) == 2; same != i.Status().Ready() || same == (i.Status().Held != "") {
					t.Errorf("ready %t, held %q", i.Status().Ready(), i.Status().Held)
				}
				byHand, err := New(Config{Source: source{snapshot: restored}, Process: i.haproxy, File: i.haproxy, Layout: layout, Policy: Policy{AllowMassRemoval: true}})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := byHand.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				elapse(time.Minute)
				if s := i.Status(); !s.Ready() || s.Applied != restored.Revision {
					t.Errorf("applied %d, %q", s.Applied, s.Reasons)
				}
			})
		})
	}
}

func TestAnEmptyRegistryIsHeldUntilItRecovers(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.registry.tell(registry.Snapshot{Revision: 900})
		synctest.Wait()
		if i.Status().Held == "" || i.haproxy.now().commands > 0 {
			t.Fatalf("not held: %+v", i.Status())
		}
		i.registry.tell(revised(twoDomains(), 901, domain("c", host("s", "10.0.0.1:80"))))
		synctest.Wait()
		if s := i.Status(); s.Held != "" || !s.Ready() || s.Counts.HeldPasses != 1 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestAnAgentWithoutARegistryLeavesHAProxyAlone(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	dropDomain(&m.live, "a.abc.com_cluster")
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.lost <- errors.New("no etcd")
		elapse(time.Hour)
		if i.haproxy.now().reloads+i.haproxy.now().commands+i.haproxy.now().version > 0 || i.Status().Ready() || i.Status().Lost != "no etcd" {
			t.Fatalf("%+v", i.Status())
		}
		i.registry.lost <- errors.New("another reason")
		synctest.Wait()
		if i.Status().Ready() || i.Status().Lost != "another reason" {
			t.Fatalf("%+v", i.Status())
		}
		i.registry.lost <- nil
		i.registry.tell(twoDomains())
		synctest.Wait()
		if i.haproxy.now().reloads != 1 || !i.Status().Ready() {
			t.Fatalf("%d reloads, %v", i.haproxy.now().reloads, i.Status().Reasons)
		}
	})
}

func TestAFailedPassIsTriedAgainLaterAndLater(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	m.failReload = 8
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(revised(twoDomains(), 900, domain("c", host("s", "10.0.0.1:80"))))
		elapse(10 * time.Second)
		if early := i.haproxy.now().reloads; early < 3 || early > 5 || i.Status().Failed == "" {
			t.Errorf("%d tries in 10 s, %q", early, i.Status().Failed)
		}
		elapse(5 * time.Minute)
		if !i.Status().Ready() || i.haproxy.now().reloads != 9 {
			t.Errorf("%d tries, %v", i.haproxy.now().reloads, i.Status().Reasons)
		}
	})
}

func TestAHAProxyThatIsAwayIsLookedForEachSecond(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	m.down = true
	inBubble(t, m, func(t *testing.T, i inn) {
		moved := twoDomains()
		moved.Domains[0].Hosts[0].Addr = netip.MustParseAddrPort("10.9.9.9:9")
		i.registry.tell(moved)
		synctest.Wait()
		if i.Status().Down == "" || i.Status().Ready() || i.haproxy.now().file.Backends[0].Servers[0].Addr.Port() != 9 {
			t.Fatalf("%+v", i.Status())
		}
		elapse(10 * time.Second)
		if n := strings.Count(i.logged.String(), "haproxy does not answer\""); n > 2 {
			t.Errorf("it is logged %d times:\n%s", n, i.logged)
		}
		i.haproxy.change(func() { m.down = false })
		elapse(2 * time.Second)
		if !i.Status().Ready() || i.haproxy.now().commands != 1 {
			t.Fatalf("%d commands, %v", i.haproxy.now().commands, i.Status().Reasons)
		}
	})
}

func TestAnAgentComesAgainWhenAnotherOneHoldsTheLock(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(registry.Snapshot{}, v32), func(t *testing.T, i inn) {
		i.haproxy.change(func() { i.haproxy.locked = true })
		i.registry.tell(twoDomains())
		synctest.Wait()
		if i.haproxy.now().version > 0 || i.Status().Failed == "" {
			t.Fatalf("%+v", i.Status())
		}
		i.haproxy.change(func() { i.haproxy.locked = false })
		elapse(2 * time.Second)
		if !i.Status().Ready() {
			t.Fatal(i.Status().Reasons)
		}
	})
}

func TestTheProcessFollowsAtOnceAndTheFileOnceForAllThatGathers(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		s := twoDomains()
		for n := range 5 {
			s = revised(s, registry.Revision(900+n))
			s.Domains[0].Hosts = []registry.Host{host("server1", "10.0.0.1:10000"), host("server2", "10.0.0.9:900"+string(rune('0'+n)))}
			i.registry.change(s, "a.abc.com")
			synctest.Wait()
			if i.haproxy.now().commands != n+1 || i.haproxy.now().version > 0 {
				t.Fatalf("%d commands, %d writes after %d changes", i.haproxy.now().commands, i.haproxy.now().version, n+1)
			}
			elapse(100 * time.Millisecond)
		}
		elapse(fileDelay)
		if i.haproxy.now().version != 1 || i.Status().Applied != 904 || !i.Status().Ready() {
			t.Fatalf("%d writes, %+v", i.haproxy.now().version, i.Status())
		}
		report, err := i.syncerOf(s).Plan(t.Context())
		if err != nil || !report.Plan.Empty() {
			t.Fatal(report.Plan, err)
		}
	})
}

// syncerOf is what a one-shot pass over a snapshot would be.
func (i inn) syncerOf(snapshot registry.Snapshot) *Syncer {
	return &Syncer{Config{Source: source{snapshot: snapshot}, Process: i.haproxy.now(), File: i.haproxy.now(), Layout: layout}}
}

func TestHostsThatExpireOneByOneAreHeldTogether(t *testing.T) {
	t.Parallel()
	s := registry.Snapshot{Revision: 1}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		s = revised(s, 1, domain(name, host("s1", "10.0.0.1:80"), host("s2", "10.0.0.2:80")))
	}
	for name, expired := range map[string]bool{"expired": true, "deleted": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, inLine(s, v32), func(t *testing.T, i inn) {
				i.registry.tell(s)
				synctest.Wait()
				now := s
				for n := range s.Domains {
					now = revised(now, registry.Revision(2+n))
					name := now.Domains[n].Name
					now.Domains[n].Hosts = nil
					u := registry.Update{Snapshot: now, Changed: []string{name}}
					if expired {
						u.Expired = []string{name + "/s1", name + "/s2"}
					}
					i.registry.updates <- u
					elapse(300 * time.Millisecond)
				}
				synctest.Wait()
				if i.Status().Held == "" || len(i.haproxy.now().file.Backends) < 5 {
					t.Fatalf("%d backends are left, %+v", len(i.haproxy.now().file.Backends), i.Status().Reasons)
				}
			})
		})
	}
}

func TestWhatSomeoneElseDidToHAProxyIsSeenWithinSeconds(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() { // stopped
			m.down = true
		})
		elapse(pollInterval)
		if i.Status().Ready() || i.Status().Down == "" {
			t.Fatal("a HAProxy that is gone is called ready")
		}
		i.haproxy.change(func() { // started anew, and its file edited by hand
			m.down = false
			m.file.Backends[0].Servers[0].Weight = 9
			m.live = clone(m.file)
			m.version++
		})
		elapse(pollInterval)
		if now := i.haproxy.now(); !i.Status().Ready() || now.live.Backends[0].Servers[0].Weight != 1 || now.file.Backends[0].Servers[0].Weight != 1 {
			t.Fatalf("%+v", i.Status().Reasons)
		}
	})
}

func TestAHostThatTurnsBadBeforeTheFileFollowsKeepsWhatTheProcessHas(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		s := revised(twoDomains(), 900)
		s.Domains[1].Hosts = []registry.Host{host("server1", "10.0.0.7:7"), host("server2", "10.0.0.8:8")}
		i.registry.change(s, "b.abc.com")
		synctest.Wait()
		bad := revised(s, 901)
		bad.Domains[1].Hosts, bad.Domains[1].HeldHosts = nil, []string{"server1", "server2"}
		i.registry.change(bad, "b.abc.com")
		elapse(2 * fileDelay)
		now := i.haproxy.now()
		for where, c := range map[string]haproxy.Config{"process": now.live, "file": now.file} {
			b, _ := backendOf(c, "b.abc.com")
			if len(b.Servers) != 2 || b.Servers[0].Addr.Port() != 7 || b.Servers[1].Addr.Port() != 8 {
				t.Errorf("the %s has %v", where, b.Servers)
			}
		}
	})
}

func TestAReloadThatHAProxyRefusesIsAskedForSeldomAndStopsNothingElse(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	m.failReload = 1000
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		for n := range uint16(120) {
			s := revised(moved(registry.Revision(900+n), 2000+n), registry.Revision(900+n), domain("new", host("s", "10.0.0.1:80")))
			i.registry.change(s, "b.abc.com", "new")
			elapse(time.Second)
			if port := portOf(i.haproxy.now().live); n > 3 && port < 2000+n-2 {
				t.Fatalf("port %d after %d seconds", port, n)
			}
		}
		now := i.haproxy.now()
		if now.reloads < 3 || now.reloads > 8 || i.Status().Failed == "" {
			t.Fatalf("%d reloads in two minutes, %q", now.reloads, i.Status().Failed)
		}
		i.haproxy.change(func() { m.failReload = 0 })
		i.Resync()
		synctest.Wait()
		if !i.Status().Ready() || i.haproxy.now().reloads != now.reloads+1 {
			t.Errorf("asked for by hand: %d reloads, %v", i.haproxy.now().reloads-now.reloads, i.Status().Reasons)
		}
	})
}

func TestAHAProxyThatLostItsSocketIsReloaded(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() { m.deaf = true })
		elapse(2 * pollInterval)
		if !i.Status().Ready() || i.haproxy.now().reloads != 1 {
			t.Fatalf("%d reloads, %v", i.haproxy.now().reloads, i.Status().Reasons)
		}
		elapse(time.Hour)
		if i.haproxy.now().reloads != 1 {
			t.Errorf("%d reloads", i.haproxy.now().reloads)
		}
	})
}
