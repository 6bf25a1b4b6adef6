package sync

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

func TestAChangeGoesAheadOfAnyReading(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		reads := i.haproxy.now().reads
		i.registry.change(moved(900, 7), "b.abc.com")
		synctest.Wait()
		added := moved(901, 7)
		added.Domains[1].Hosts = append(added.Domains[1].Hosts, host("server2", "10.0.0.9:9"))
		i.registry.change(added, "b.abc.com")
		synctest.Wait()
		now := i.haproxy.now()
		if b, _ := backendOf(now.live, "b.abc.com"); portOf(now.live) != 7 || len(b.Servers) != 2 {
			t.Fatalf("%+v", b)
		}
		i.registry.change(moved(902, 7), "b.abc.com")
		synctest.Wait()
		now = i.haproxy.now()
		if b, _ := backendOf(now.live, "b.abc.com"); len(b.Servers) != 1 {
			t.Fatalf("%+v", b)
		}
		if now.reads != reads || i.Status().Applied != 902 {
			t.Errorf("%d readings for three changes, %+v", now.reads-reads, i.Status())
		}
		elapse(2 * fileDelay)
		if file := i.haproxy.now().file; portOf(file) != 7 {
			t.Errorf("the file has %+v", file)
		}
	})
}

func TestWhatGoesAheadIsLookedAtAfterwards(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*haproxy.Server){
		"maintenance": func(s *haproxy.Server) { s.State = haproxy.Maint },
		"an address":  func(s *haproxy.Server) { s.Addr = host("", "10.9.9.9:9").Addr },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
				i.registry.tell(twoDomains())
				synctest.Wait()
				i.onSocket(set)
				s := revised(twoDomains(), 900)
				s.Domains[0].Hosts[0].Weight = 5
				i.registry.change(s, "a.abc.com")
				synctest.Wait()
				want := haproxy.Server{Name: "server1", Cookie: "server1", Addr: s.Domains[0].Hosts[0].Addr, Weight: 5, Check: true, State: haproxy.Ready}
				if diff := cmp.Diff(want, i.server1(), cmp.Comparer(func(a, b haproxy.Server) bool { return a == b })); diff != "" {
					t.Errorf("what the registry says anew does not hold (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestWhatWentAheadIsToldAndCountedThoughSomethingWasLeftToDo(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		servers := i.memory.total.servers
		i.onSocket(func(s *haproxy.Server) { s.Addr = host("", "10.9.9.9:9").Addr })
		s := revised(twoDomains(), 900)
		s.Domains[0].Hosts = append(s.Domains[0].Hosts, host("server3", "10.0.0.9:9"))
		i.registry.change(s, "a.abc.com")
		synctest.Wait()
		if n := i.Status().Counts.RuntimeChanges; i.memory.total.servers != servers+1 || n != 2 || i.haproxy.now().wholeReads != 1 {
			t.Errorf("%d servers after %d, %d changes", i.memory.total.servers, servers, n)
		}
	})
}

func TestAnOverrideEndsWhereTheRegistryGoesAhead(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.onSocket(func(s *haproxy.Server) { s.State = haproxy.Maint })
		elapse(defaultResync)
		if n := len(i.Status().Overrides); n != 1 {
			t.Fatalf("%d overrides", n)
		}
		s := revised(twoDomains(), 900)
		s.Domains[0].Hosts[0].Weight, s.Domains[0].Hosts[1].Weight = 5, 5
		i.registry.change(s, "a.abc.com")
		synctest.Wait()
		if now := i.server1(); now.State != haproxy.Ready || now.Weight != 5 || len(i.Status().Overrides) > 0 {
			t.Errorf("%+v, overrides %+v", now, i.Status().Overrides)
		}
	})
}

func TestNothingGoesAheadThatTheFileMayRefuse(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	var early []haproxy.Change // before the file has been accepted
	inBubble(t, m, func(_ *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() {
			m.stubborn = func(c haproxy.Change) bool {
				if m.version == 0 {
					early = append(early, c)
				}
				return false
			}
			m.refuses = func(c haproxy.Config) []string {
				if b, _ := backendOf(c, "b.abc.com"); b.Options.Balance == "leastconn" {
					return []string{"b.abc.com"}
				}
				return nil
			}
		})
		s := moved(900, 7)
		s.Domains[1].Options.Balance = "leastconn"
		i.registry.change(s, "b.abc.com")
		elapse(2 * fileDelay)
	})
	if b, _ := backendOf(m.file, "b.abc.com"); len(early) > 0 || b.Options.Balance == "leastconn" {
		t.Errorf("HAProxy was told %v, and its file has %v", early, b.Options)
	}
	if portOf(m.file) != 7 || portOf(m.live) != 7 {
		t.Errorf("what HAProxy does accept of the domain is not done: port %d in the file, %d in the process", portOf(m.file), portOf(m.live))
	}
}

func TestQuickPassesCountTheRegistry(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		s := revised(twoDomains(), 900)
		s.Domains[1].Hosts = append(s.Domains[1].Hosts, host("server2", "10.0.0.9:9"))
		i.registry.change(s, "b.abc.com")
		synctest.Wait()
		s = revised(s, 901)
		s.Domains[0].Hosts[0].Weight = 5
		i.registry.change(s, "a.abc.com")
		synctest.Wait()
		if last := i.Status().Last; last.Domains != 2 || last.Hosts != 4 {
			t.Errorf("%d domains and %d hosts", last.Domains, last.Hosts)
		}
	})
}

func TestOnlyDomainsOfTheRegistryAreLeftAlone(t *testing.T) {
	t.Parallel()
	left := LeftAlone(twoDomains(), map[string]string{"c.abc.com": "backend c.abc.com_cluster", "b.abc.com": "backend b.abc.com_cluster"})
	if len(left) != 1 || left[0].Domain != "b.abc.com" {
		t.Errorf("left alone: %+v", left)
	}
}

func TestAnOverrideIsSeenBesideWhatGoesAhead(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.onSocket(func(s *haproxy.Server) { s.State = haproxy.Maint })
		s := revised(twoDomains(), 900)
		s.Domains[0].Hosts[1].Weight = 5
		i.registry.change(s, "a.abc.com")
		synctest.Wait()
		if o := i.Status().Overrides; len(o) != 1 || o[0] != (Override{"a.abc.com", "server1", "maint", "ready"}) {
			t.Errorf("overrides %+v", o)
		}
	})
}

func TestNothingGoesAheadOfAnEditedFile(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() { // b.abc.com is an operator's now
			i.haproxy.version++
			i.haproxy.foreign = map[string]string{"b.abc.com": "backend b.abc.com_cluster"}
		})
		i.registry.change(moved(900, 7), "b.abc.com")
		synctest.Wait()
		if now := i.haproxy.now(); portOf(now.live) == 7 {
			t.Error("a backend of somebody else's was changed")
		}
	})
}

func TestAServerThatLingersKeepsNobodyFromGoingAhead(t *testing.T) {
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
		synctest.Wait()
		reads := i.haproxy.now().reads
		s = revised(s, 901)
		s.Domains[1] = moved(901, 7).Domains[1]
		i.registry.change(s, "b.abc.com")
		synctest.Wait()
		if now := i.haproxy.now(); now.reads != reads || portOf(now.live) != 7 {
			t.Fatalf("%d readings, port %d", now.reads-reads, portOf(now.live))
		}
		i.haproxy.change(func() { busy = false })
		elapse(2 * maxDrainPoll)
		if b, _ := backendOf(i.haproxy.now().live, "a.abc.com"); len(b.Servers) != 1 {
			t.Errorf("the removed server was forgotten: %+v", b)
		}
	})
}

func TestAStreamOfChangesPutsOffNoRemoval(t *testing.T) {
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
		synctest.Wait()
		i.haproxy.change(func() { busy = false })
		for n := range 20 {
			s = revised(s, registry.Revision(901+n))
			s.Domains[1] = moved(0, uint16(7+n)).Domains[1]
			i.registry.change(s, "b.abc.com")
			elapse(drainPoll / 3)
		}
		if b, _ := backendOf(i.haproxy.now().live, "a.abc.com"); len(b.Servers) != 1 {
			t.Errorf("the removed server is still there: %+v", b)
		}
	})
}

func TestAHostThatComesBackWhileItLingersIsFinished(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	m.lingers = func(haproxy.RemoveServer) bool { return true }
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		s := revised(twoDomains(), 900)
		s.Domains[0].Hosts = s.Domains[0].Hosts[:1]
		i.registry.change(s, "a.abc.com")
		synctest.Wait()
		s = revised(twoDomains(), 901)
		s.Domains[0].Hosts[1].Weight = 5
		i.registry.change(s, "a.abc.com")
		synctest.Wait()
		if n := len(i.memory.leaving()); n > 0 || !i.alarms.drains.at.IsZero() {
			t.Errorf("%d domains are unfinished, to be looked at %v", n, i.alarms.drains.at)
		}
	})
}

// TestRandomChangesEndInLine changes the registry and, behind the agent's back, the process.
func TestRandomChangesEndInLine(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
				random := rand.New(rand.NewPCG(seed, 0))
				s := twoDomains()
				i.registry.tell(s)
				for n := range 200 {
					if random.IntN(8) == 0 {
						i.onSocket(func(s *haproxy.Server) { s.Addr = host("", fmt.Sprintf("10.9.9.9:%d", 1+n)).Addr })
					}
					var changed string
					hosts := countSnapshot(s).hosts
					s, changed = changedAtRandom(random, s, registry.Revision(900+n))
					i.registry.change(s, changed)
					switch {
					case countSnapshot(s).hosts < hosts:
						elapse(removalWindow / 2) // else the safeguard holds them
					case random.IntN(3) > 0:
						synctest.Wait()
					}
				}
				elapse(2 * defaultResync)
				now := i.haproxy.now()
				want, _ := layout.Desired(s, haproxy.State{})
				if changes := append(Diff(now.live, want), Diff(now.file, want)...); len(changes) > 0 {
					t.Errorf("not in line: %v", changes)
				}
				if got := i.Status(); got.Last.Hosts != countSnapshot(s).hosts || !got.Ready() {
					t.Errorf("%d hosts, want %d; %v", got.Last.Hosts, countSnapshot(s).hosts, got.Reasons)
				}
			})
		})
	}
}

// changedAtRandom is a snapshot with a change of one of its two domains, in which the first host stays.
func changedAtRandom(random *rand.Rand, s registry.Snapshot, revision registry.Revision) (registry.Snapshot, string) {
	s = revised(s, revision)
	d := s.Domains[random.IntN(2)]
	d.Hosts = slices.Clone(d.Hosts)
	switch k := random.IntN(len(d.Hosts)); random.IntN(4) {
	case 0:
		d.Hosts[k].Weight = 1 + random.IntN(9)
	case 1:
		d.Hosts[k].Addr = host("", fmt.Sprintf("10.0.0.%d:80", 1+random.IntN(9))).Addr
	case 2:
		if name := fmt.Sprintf("t%d", random.IntN(5)); !slices.ContainsFunc(d.Hosts, func(h registry.Host) bool { return h.Name == name }) {
			d.Hosts = append(d.Hosts, host(name, "10.0.1.1:80"))
			slices.SortFunc(d.Hosts, func(a, b registry.Host) int { return strings.Compare(a.Name, b.Name) })
		}
	default:
		if k > 0 {
			d.Hosts = slices.Delete(d.Hosts, k, k+1)
		}
	}
	return s, d.Name
}
