package sync

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// moved is twoDomains with server1 of b.abc.com at a port.
func moved(revision registry.Revision, port uint16) registry.Snapshot {
	s := revised(twoDomains(), revision)
	h := host("server1", "10.0.0.2:1")
	h.Addr = netip.AddrPortFrom(h.Addr.Addr(), port)
	s.Domains[1].Hosts = []registry.Host{h}
	return s
}

// portOf is the one of that server.
func portOf(c haproxy.Config) uint16 {
	b, _ := backendOf(c, "b.abc.com")
	s, _ := haproxy.FindServer(b, "server1")
	return s.Addr.Port()
}

func TestTheProcessFollowsWhileTheFileIsWritten(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() { i.haproxy.writing = make(chan struct{}) })
		i.registry.change(moved(900, 7), "b.abc.com")
		elapse(2 * fileDelay) // the file is being written
		for n, port := range []uint16{8, 12345} {
			i.registry.change(moved(registry.Revision(901+n), port), "b.abc.com")
			synctest.Wait()
			if now := i.haproxy.now(); portOf(now.live) != port || now.version > 0 {
				t.Fatalf("port %d, %d writes", portOf(now.live), now.version)
			}
			if s := i.Status(); s.Applied != registry.Revision(901+n) || s.Filed == s.Applied {
				t.Fatalf("applied %d, filed %d", s.Applied, s.Filed)
			}
		}
		i.haproxy.writing <- struct{}{}
		synctest.Wait()
		if port := portOf(i.haproxy.now().file); port != 7 {
			t.Fatalf("port %d was written first", port)
		}
		elapse(2 * fileDelay)
		i.haproxy.writing <- struct{}{}
		synctest.Wait()
		now := i.haproxy.now()
		if portOf(now.file) != 12345 || now.version != 2 || i.Status().Filed != 902 || now.wholeReads != 1 {
			t.Fatalf("port %d, %d writes, %+v, %d whole reads", portOf(now.file), now.version, i.Status(), now.wholeReads)
		}
		i.haproxy.change(func() { i.haproxy.writing = nil })
	})
}

func TestAnAgentThatEndsWritesTheFileFirst(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.registry.change(moved(900, 7), "b.abc.com")
		synctest.Wait()
		if m.version > 0 {
			t.Fatal("the file was written at once")
		}
	})
	if portOf(m.file) != 7 {
		t.Error("the file lags behind for ever")
	}
}

func TestAFileThatCannotBeAmendedIsLeftToAWholePass(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() { m.failCommit = 3 })
		i.registry.change(moved(900, 7), "b.abc.com")
		elapse(2 * fileDelay)
		if now := i.haproxy.now(); portOf(now.file) != 7 || now.rewrites != 1 || !i.Status().Ready() {
			t.Fatalf("%d rewrites, %v", now.rewrites, i.Status().Reasons)
		}
	})
}

func TestNewsThatChangeNoDomainCostNoWholePass(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		s := revised(twoDomains(), 900)
		s.Problems = []registry.Problem{{Key: "/services/web/x", Reason: "bad"}}
		i.registry.change(s)
		synctest.Wait()
		if now := i.haproxy.now(); now.wholeReads != 1 || i.Status().Applied != 900 || i.Status().Filed != 900 || len(i.Status().Last.Problems) != 1 {
			t.Fatalf("%d whole reads, %+v", now.wholeReads, i.Status())
		}
	})
}

func TestAServerThatLingersIsLookedAfterWithoutWholePasses(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	busy := true
	m.lingers = func(haproxy.RemoveServer) bool { return busy }
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		s := revised(twoDomains(), 900)
		s.Domains[0].Hosts = s.Domains[0].Hosts[:1]
		i.registry.change(s, "a.abc.com")
		elapse(4 * time.Second)
		now := i.haproxy.now()
		if now.wholeReads != 1 || len(i.Status().Passes) != 1 || i.Status().Last.Draining != 1 {
			t.Fatalf("%d whole reads, %+v", now.wholeReads, i.Status())
		}
		if b, _ := backendOf(now.file, "a.abc.com"); len(b.Servers) != 1 {
			t.Error("the file waits for the server's sessions")
		}
		commands := now.commands
		elapse(70 * time.Second)
		if more := i.haproxy.now().commands - commands; more > 20 || i.Status().Counts.Drift > 0 {
			t.Errorf("%d tries in 70 s, drift %d", more, i.Status().Counts.Drift)
		}
		i.haproxy.change(func() { busy = false })
		elapse(2 * maxDrainPoll)
		if b, _ := backendOf(i.haproxy.now().live, "a.abc.com"); len(b.Servers) != 1 || i.Status().Last.Draining != 0 {
			t.Fatalf("%+v", i.Status())
		}
	})
}

func TestADeadHostIsNotDrained(t *testing.T) {
	t.Parallel()
	for name, expired := range map[string][]string{"deleted": nil, "expired": {"a.abc.com/server2"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := inLine(twoDomains(), v32)
			var dead []bool
			m.lingers = func(r haproxy.RemoveServer) bool { dead = append(dead, r.Dead); return false }
			inBubble(t, m, func(t *testing.T, i inn) {
				i.registry.tell(twoDomains())
				synctest.Wait()
				s := revised(twoDomains(), 900)
				s.Domains[0].Hosts = s.Domains[0].Hosts[:1]
				i.registry.updates <- registry.Update{Snapshot: s, Changed: []string{"a.abc.com"}, Expired: expired}
				elapse(2 * defaultResync)
				if n := len(i.memory.domains); n > 0 {
					t.Errorf("%d dead hosts are remembered for ever", n)
				}
			})
			if len(dead) != 1 || dead[0] != (expired != nil) {
				t.Errorf("removals, dead: %v", dead)
			}
		})
	}
}

func TestAWholePassTakesWhatIsPendingWithIt(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.registry.change(moved(900, 7), "b.abc.com")
		elapse(fileDelay / 2)
		s := moved(901, 8)
		s.Domains[1].Options.Balance = "leastconn"
		i.registry.change(s, "b.abc.com")
		elapse(3 * fileDelay)
		if now := i.haproxy.now(); now.version != 1 || portOf(now.file) != 8 {
			t.Fatalf("%d writes, port %d", now.version, portOf(now.file))
		}
		s = revised(s, 902)
		s.Domains[0].Hosts = s.Domains[0].Hosts[:1]
		i.registry.change(s, "a.abc.com")
		elapse(2 * fileDelay)
		if now := i.haproxy.now(); now.version != 2 || portOf(now.file) != 8 {
			t.Fatalf("%d writes, port %d", now.version, portOf(now.file))
		}
	})
}

func TestANewDomainWaitsForTheFileThatIsBeingWritten(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() { i.haproxy.writing = make(chan struct{}) })
		i.registry.change(moved(900, 7), "b.abc.com")
		elapse(2 * fileDelay)
		i.registry.change(revised(moved(901, 7), 901, domain("new", host("s", "10.0.0.1:80"))), "new")
		synctest.Wait()
		if i.haproxy.now().reloads > 0 {
			t.Error("a reload while the file is being written")
		}
		i.haproxy.writing <- struct{}{} // what was being written
		i.haproxy.writing <- struct{}{} // with the new domain
		synctest.Wait()
		if i.haproxy.now().reloads != 1 || i.Status().Applied != 901 {
			t.Errorf("%d reloads, %+v", i.haproxy.now().reloads, i.Status())
		}
		i.haproxy.change(func() { i.haproxy.writing = nil })
	})
}

// TestManyNewDomainsThatComeOneAfterTheOtherCostOneReload has them come in several transactions.
func TestManyNewDomainsThatComeOneAfterTheOtherCostOneReload(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		s := twoDomains()
		i.registry.tell(s)
		synctest.Wait()
		began := time.Now()
		for n := range registry.Revision(20) {
			var names []string
			for k := range 3 {
				names = append(names, fmt.Sprintf("new%02d-%d", n, k))
				s = revised(s, 900+n, domain(names[k], host("s", "10.0.0.1:80")))
			}
			i.registry.change(s, names...)
			elapse(gatherPause / 2)
		}
		for i.haproxy.now().reloads == 0 && time.Since(began) < time.Minute {
			elapse(time.Millisecond)
		}
		if took := time.Since(began); took > 20*gatherPause {
			t.Errorf("the reload came after %s", took)
		}
		elapse(time.Minute)
		if n := i.haproxy.now().reloads; n != 1 || i.Status().Applied != 919 {
			t.Errorf("%d reloads, applied %d", n, i.Status().Applied)
		}
	})
}

// TestAWriterThatNeverRestsDoesNotPutAReloadOff has domains come for ever.
func TestAWriterThatNeverRestsDoesNotPutAReloadOff(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		s := twoDomains()
		i.registry.tell(s)
		synctest.Wait()
		began := time.Now()
		for n := registry.Revision(900); i.haproxy.now().reloads == 0; n++ {
			names := []string{fmt.Sprintf("new%d-a", n), fmt.Sprintf("new%d-b", n)}
			s = revised(revised(s, n, domain(names[0], host("s", "10.0.0.1:80"))), n, domain(names[1], host("s", "10.0.0.1:80")))
			i.registry.change(s, names...)
			elapse(gatherPause / 2)
			if took := time.Since(began); took > gatherMost+2*gatherPause {
				t.Fatalf("no reload after %s", took)
			}
		}
	})
}

func TestWhatWaitsForAReloadIsNotAppliedByAQuickPass(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		s := revised(twoDomains(), 900, domain("n1", host("s", "10.0.0.1:80")))
		i.registry.tell(s)
		synctest.Wait()
		s = revised(s, 901, domain("n2", host("s", "10.0.0.1:80")))
		i.registry.change(s, "n2")
		synctest.Wait()
		s = revised(s, 902)
		s.Domains[1] = moved(902, 7).Domains[1]
		i.registry.change(s, "b.abc.com")
		synctest.Wait()
		if now := i.haproxy.now(); portOf(now.live) != 7 || now.reloads != 1 || i.Status().Applied != 900 {
			t.Errorf("port %d, %d reloads, applied %d", portOf(now.live), now.reloads, i.Status().Applied)
		}
		if i.Status().Behind.IsZero() {
			t.Error("nothing is behind")
		}
		elapse(defaultReloadInterval)
		if now := i.haproxy.now(); now.reloads != 2 || i.Status().Applied != 902 || !i.Status().Behind.IsZero() {
			t.Errorf("%d reloads, %+v", now.reloads, i.Status())
		}
	})
}

func TestAQuickPassSeesThatHAProxyIsAnotherOne(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() { // reloaded by someone else, with an edited file
			m.file.Backends[0].Servers[0].Weight = 9
			m.live = clone(m.file)
			m.version++
			m.reloads++
		})
		i.registry.change(moved(900, 7), "b.abc.com")
		synctest.Wait()
		if i.server1().Weight != 1 || i.haproxy.now().wholeReads < 2 {
			t.Errorf("%+v", i.server1())
		}
	})
}

func TestAQuickPassMovesTheRevisionThatIsConfirmed(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.registry.change(moved(900, 7), "b.abc.com")
		elapse(2 * fileDelay)
		i.registry.tell(moved(850, 8))
		synctest.Wait()
		if i.Status().Held == "" || portOf(i.haproxy.now().live) != 7 {
			t.Errorf("%+v", i.Status())
		}
	})
}

func TestManyHostsThatGoOneAfterTheOtherAreHeld(t *testing.T) {
	t.Parallel()
	all := &registry.Domain{Name: "a.abc.com"}
	for _, name := range []string{"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"} {
		all.Hosts = append(all.Hosts, host(name, "10.0.0.1:80"))
	}
	s := revised(registry.Snapshot{}, 1, all)
	m := inLine(s, v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(s)
		synctest.Wait()
		for n := range 4 {
			s = revised(s, registry.Revision(2+n))
			s.Domains[0].Hosts = s.Domains[0].Hosts[2:]
			i.registry.change(s, "a.abc.com")
			elapse(2 * fileDelay)
		}
		if b, _ := backendOf(i.haproxy.now().live, "a.abc.com"); i.Status().Held == "" || len(b.Servers) != 6 {
			t.Errorf("%d servers are left, %+v", len(b.Servers), i.Status())
		}
	})
}

func TestAPassThatGoesOnFailingIsNoBusyLoop(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.registry.change(moved(900, 7), "b.abc.com")
		synctest.Wait()
		i.haproxy.change(func() { m.failReload = 1000 })
		s := revised(moved(901, 7), 901, domain("new", host("s", "10.0.0.1:80")))
		i.registry.change(s, "new")
		elapse(10 * time.Minute)
		if now := i.haproxy.now(); now.reloads > 30 || now.reads > 500 || i.Status().Failed == "" {
			t.Errorf("%d reloads, %d reads", now.reloads, now.reads)
		}
	})
}

func TestServersThatCameSinceCountForTheSafeguard(t *testing.T) {
	t.Parallel()
	hosts := func(n int) *registry.Domain {
		d := &registry.Domain{Name: "a.abc.com"}
		for k := range n {
			d.Hosts = append(d.Hosts, host(fmt.Sprintf("s%02d", k), "10.0.0.1:80"))
		}
		return d
	}
	s := revised(registry.Snapshot{}, 1, hosts(6))
	m := inLine(s, v32)
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(s)
		synctest.Wait()
		for n, count := range []int{20, 12} {
			i.registry.change(revised(registry.Snapshot{}, registry.Revision(2+n), hosts(count)), "a.abc.com")
			elapse(2 * fileDelay)
			if b, _ := backendOf(i.haproxy.now().live, "a.abc.com"); len(b.Servers) != count {
				t.Fatalf("%d servers, want %d: %+v", len(b.Servers), count, i.Status().Reasons)
			}
		}
		if n := i.haproxy.now().wholeReads; n != 1 {
			t.Errorf("%d whole passes, where quick ones know enough", n)
		}
	})
}

func TestWhichRegistryIsTheSame(t *testing.T) {
	t.Parallel()
	earlier := registry.Snapshot{Prefix: "/services/web", ClusterID: 1, Revision: 7}
	for name, c := range map[string]struct {
		now  registry.Snapshot
		same bool
	}{
		"later":             {registry.Snapshot{Prefix: "/services/web", ClusterID: 1, Revision: 8}, true},
		"back":              {registry.Snapshot{Prefix: "/services/web", ClusterID: 1, Revision: 6}, false},
		"another cluster":   {registry.Snapshot{Prefix: "/services/web", ClusterID: 2, Revision: 8}, false},
		"another prefix":    {registry.Snapshot{Prefix: "/other", ClusterID: 2, Revision: 8}, true},
		"nothing confirmed": {registry.Snapshot{}, true},
	} {
		was := earlier
		if name == "nothing confirmed" {
			was, c.now = registry.Snapshot{}, earlier
		}
		if err := sameRegistry(was, c.now); (err == nil) != c.same {
			t.Errorf("%s: %v", name, err)
		}
	}
}
