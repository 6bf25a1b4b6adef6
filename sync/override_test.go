package sync

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// onSocket changes server1 of a.abc.com in the process, as an operator does on the socket.
func (i inn) onSocket(f func(*haproxy.Server)) {
	i.haproxy.change(func() { f(&i.haproxy.live.Backends[0].Servers[0]) })
}

func (i inn) server1() haproxy.Server {
	b, _ := backendOf(i.haproxy.now().live, "a.abc.com")
	return b.Servers[0]
}

// TestAWordThatAnOperatorTypesInTheFileIsNoOverride has the file edited by hand, without a reload.
func TestAWordThatAnOperatorTypesInTheFileIsNoOverride(t *testing.T) {
	t.Parallel()
	s := twoDomains()
	for d := range s.Domains {
		for h := range s.Domains[d].Hosts {
			s.Domains[d].Hosts[h].Unset = registry.Unset{Weight: true, MaxConn: true, Backup: true, State: true}
		}
	}
	inBubble(t, inLine(s, v32), func(t *testing.T, i inn) {
		i.registry.tell(s)
		synctest.Wait()
		i.onSocket(func(s *haproxy.Server) { s.Weight = 7 })
		elapse(2 * defaultResync)
		i.haproxy.change(func() {
			b := &i.haproxy.file.Backends[1]
			b.Typed = map[string]haproxy.Given{b.Servers[0].Name: {Weight: 6, Weighted: true}}
			b.Servers[0].Weight = 6
			i.haproxy.version++
		})
		elapse(2 * pollInterval)
		b, _ := backendOf(i.haproxy.now().live, "b.abc.com")
		if o := i.Status().Overrides; b.Servers[0].Weight != 6 || len(o) != 1 || o[0].Domain != "a.abc.com" {
			t.Errorf("the process has weight %d, overrides %+v", b.Servers[0].Weight, o)
		}
		if i.server1().Weight != 7 {
			t.Errorf("what was set on the socket before is gone: weight %d", i.server1().Weight)
		}
	})
}

func TestWhatAnOperatorSetsOnTheSocketStays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(*haproxy.Server)
		want Override
	}{
		"maintenance": {func(s *haproxy.Server) { s.State = haproxy.Maint }, Override{"a.abc.com", "server1", "maint", "ready"}},
		"drain":       {func(s *haproxy.Server) { s.State = haproxy.Drain }, Override{"a.abc.com", "server1", "drain", "ready"}},
		"a weight":    {func(s *haproxy.Server) { s.Weight = 7 }, Override{"a.abc.com", "server1", "weight 7", "weight 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
				i.registry.tell(twoDomains())
				synctest.Wait()
				i.onSocket(c.set)
				set := i.server1()
				stays := func(when string) {
					t.Helper()
					if i.server1() != set || !i.Status().Ready() {
						t.Fatalf("%s: the server is %+v, %v", when, i.server1(), i.Status().Reasons)
					}
					if o := i.Status().Overrides; len(o) != 1 || o[0] != c.want {
						t.Fatalf("%s: overrides %+v", when, o)
					}
				}
				s := revised(twoDomains(), 900)
				s.Domains[0].Hosts = []registry.Host{s.Domains[0].Hosts[0], host("server2", "10.0.0.9:9")}
				i.registry.change(s, "a.abc.com")
				synctest.Wait()
				stays("after a change of another host")
				elapse(2 * defaultResync)
				stays("after a resync")
				s = revised(s, 901, domain("new", host("s", "10.0.0.1:80")))
				i.registry.change(s, "new")
				synctest.Wait()
				if i.haproxy.now().reloads != 1 {
					t.Fatal("no reload")
				}
				stays("after a reload")
				if f, _ := backendOf(i.haproxy.now().file, "a.abc.com"); f.Servers[0].State != haproxy.Ready || f.Servers[0].Weight != 1 {
					t.Error("it is in the file")
				}
				s = revised(s, 902)
				h := s.Domains[0].Hosts[0]
				h.MaxConn = 50
				s.Domains[0].Hosts = []registry.Host{h, s.Domains[0].Hosts[1]}
				i.registry.change(s, "a.abc.com")
				synctest.Wait()
				if now := i.server1(); now.State != haproxy.Ready || now.Weight != 1 || len(i.Status().Overrides) > 0 {
					t.Fatalf("the registry says something new, but the server is %+v, overrides %v", now, i.Status().Overrides)
				}
			})
		})
	}
}

func TestAnOverrideEndsWhenItIsTakenBack(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.onSocket(func(s *haproxy.Server) { s.State = haproxy.Maint })
		elapse(defaultResync)
		i.onSocket(func(s *haproxy.Server) { s.State = haproxy.Ready })
		elapse(defaultResync)
		if o := i.Status().Overrides; len(o) > 0 || i.server1().State != haproxy.Ready {
			t.Errorf("%+v, %+v", o, i.server1())
		}
	})
}

func TestOtherDriftIsRepairedAndCounted(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.registry.change(moved(900, 7), "b.abc.com")
		elapse(2 * fileDelay)
		if n := i.Status().Counts.Drift; n > 0 {
			t.Fatalf("%d changes of the registry's are called drift", n)
		}
		i.onSocket(func(s *haproxy.Server) { s.Addr = netip.MustParseAddrPort("10.9.9.9:9") })
		elapse(defaultResync)
		if i.server1().Addr.Port() != 10000 || i.Status().Counts.Drift != 1 {
			t.Errorf("%+v, drift %d", i.server1(), i.Status().Counts.Drift)
		}
	})
}

func TestAProcessThatIsNotAsItWasBroughtIsNoOverride(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	m.stubborn = func(c haproxy.Change) bool { _, ok := c.(haproxy.SetServer); return ok }
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(revised(twoDomains(), 812, domain("new", host("s", "10.0.0.1:80")))) // the interval begins
		synctest.Wait()
		s := revised(twoDomains(), 900, domain("new", host("s", "10.0.0.1:80")))
		h := s.Domains[0].Hosts[0]
		h.Weight = 9
		s.Domains[0].Hosts = []registry.Host{h, s.Domains[0].Hosts[1]}
		i.registry.change(s, "a.abc.com")
		elapse(2 * defaultReloadInterval)
		if i.server1().Weight != 9 || len(i.Status().Overrides) > 0 {
			t.Errorf("%+v, %+v", i.server1(), i.Status().Overrides)
		}
	})
}

func TestAnOverrideGoesWithItsDomain(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.onSocket(func(s *haproxy.Server) { s.State = haproxy.Maint })
		elapse(defaultResync)
		s := revised(twoDomains(), 900)
		s.Domains = s.Domains[1:]
		i.registry.change(s, "a.abc.com")
		synctest.Wait()
		if o := i.Status().Overrides; len(o) > 0 {
			t.Errorf("%+v", o)
		}
	})
}

func TestADomainThatHAProxyRefusesIsNoDrift(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	m.refuses = func(c haproxy.Config) []string {
		if portOf(c) == 7 {
			return []string{"b.abc.com"}
		}
		return nil
	}
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		s := moved(900, 7)
		s.Domains[1].Options.Balance = "leastconn"
		i.registry.change(s, "b.abc.com")
		elapse(5 * defaultResync)
		if n := i.Status().Counts.Drift; n > 0 || !i.Status().Last.LeftOut() {
			t.Errorf("drift %d, %+v", n, i.Status().Last.Problems)
		}
		other := revised(s, 901)
		other.Domains[0].Hosts = other.Domains[0].Hosts[:1]
		i.registry.change(other, "a.abc.com")
		synctest.Wait()
		if last := i.Status().Last; last.Revision != 901 || !last.LeftOut() {
			t.Errorf("after a pass over another domain: %+v", last)
		}
	})
}

func TestAnOverrideOutlivesTheAgent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		weight int
		want   haproxy.ServerState
	}{"the registry says the same": {1, haproxy.Maint}, "the registry says something new": {5, haproxy.Ready}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := inLine(twoDomains(), v32)
			inBubble(t, m, func(_ *testing.T, i inn) {
				i.registry.tell(twoDomains())
				synctest.Wait()
				i.onSocket(func(s *haproxy.Server) { s.State = haproxy.Maint })
				elapse(defaultResync)
			})
			inBubble(t, m, func(t *testing.T, i inn) {
				s := revised(twoDomains(), 900)
				h := s.Domains[0].Hosts[0]
				h.Weight = c.weight
				s.Domains[0].Hosts = []registry.Host{h, s.Domains[0].Hosts[1]}
				i.registry.tell(s)
				synctest.Wait()
				if got := i.server1(); got.State != c.want || got.Weight != c.weight {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

func TestASyncByHandKeepsWhatAnAgentHasNoted(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	inBubble(t, m, func(_ *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.onSocket(func(s *haproxy.Server) { s.State = haproxy.Maint })
		elapse(defaultResync)
	})
	report, err := newSyncer(t, source{snapshot: twoDomains()}, m, Policy{}).Sync(t.Context())
	if err != nil || !report.Plan.Empty() || len(report.Kept) != 1 || report.Kept[0] != (Override{"a.abc.com", "server1", "maint", "ready"}) {
		t.Fatalf("%v, %v, kept %+v", err, report.Plan, report.Kept)
	}
	undo, err := New(Config{Source: source{snapshot: twoDomains()}, Process: m, File: m, Layout: layout, UndoOverrides: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := undo.Sync(t.Context()); err != nil || m.live.Backends[0].Servers[0].State != haproxy.Ready {
		t.Errorf("%v, %+v", err, m.live.Backends[0].Servers[0])
	}
}

func TestWhatAReloadTakesBackIsNobodysOverride(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() { i.haproxy.slowReload, i.haproxy.settles = 200*time.Millisecond, 200*time.Millisecond })
		s := withNew(revised(twoDomains(), 900)) // asks for a reload
		i.registry.change(s, "c.abc.com")
		elapse(100 * time.Millisecond)
		b := &registry.Domain{Name: "b.abc.com", Hosts: slices.Clone(s.Domains[1].Hosts)}
		b.Hosts[0].Weight, b.Hosts[0].State = 114, registry.Maint // for the old worker, which goes
		s = registry.Snapshot{Prefix: s.Prefix, Revision: 901, Keys: s.Keys, Domains: copied(s.Domains)}
		s.Domains[1] = b
		i.registry.change(s, "b.abc.com")
		elapse(150 * time.Millisecond) // the new worker answers, with what the file said
		s.Revision++
		i.registry.change(s, "a.abc.com")
		elapse(10 * time.Millisecond)
		s.Revision++
		s.Domains = copied(s.Domains)
		s.Domains[1].Hosts = append(slices.Clone(b.Hosts), host("server2", "10.0.0.2:2"))
		i.registry.change(s, "b.abc.com")
		elapse(10 * time.Second)
		live, _ := backendOf(i.haproxy.now().live, "b.abc.com")
		if server, _ := haproxy.FindServer(live, "server1"); server.Weight != 114 || server.State != haproxy.Maint {
			t.Errorf("it is %+v", server)
		}
		if got := i.Status().Overrides; len(got) > 0 {
			t.Errorf("taken for an operator's: %v", got)
		}
	})
}
