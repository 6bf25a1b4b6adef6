package sync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A recollection is what was read of a fake last.
type recollection struct {
	worker   string
	version  int
	backends map[string]haproxy.Backend
	rules    []haproxy.Rule
}

// remember takes what was read of some domains in the process; without domains, of everything.
func (m *fake) remember(st haproxy.State, domains ...string) {
	r := &m.recollection
	if r.backends == nil || r.worker != st.Worker || len(domains) == 0 {
		r.worker, r.backends, r.rules = st.Worker, map[string]haproxy.Backend{}, nil
	}
	m.Forget(domains...)
	r.rules = slices.DeleteFunc(r.rules, func(r haproxy.Rule) bool { return slices.Contains(domains, r.Domain) })
	r.rules = append(r.rules, st.Live.Rules...)
	for _, b := range st.Live.Backends {
		r.backends[b.Name] = b
	}
}

// Look compares the process with what was read of it last.
func (m *fake) Look(context.Context) (func(context.Context) (haproxy.Look, error), error) {
	known, rules, worker := maps.Clone(m.recollection.backends), slices.Clone(m.recollection.rules), m.recollection.worker
	return func(context.Context) (haproxy.Look, error) {
		m.backgroundLooks++
		st := m.state()
		seen := haproxy.Look{Identity: st.Identity(), Surroundings: st.Surroundings()}
		if st.Worker != worker {
			seen.More = true
			return seen, nil
		}
		changed := map[string]bool{}
		for name := range known {
			if _, there := haproxy.FindBackend(st.Live.Backends, name); !there {
				changed[name] = true
			}
		}
		for _, b := range st.Live.Backends {
			was, there := known[b.Name]
			changed[b.Name] = !there || !sameBackend(was, b)
		}
		for _, r := range slices.Concat(rules, st.Live.Rules) {
			if slices.Contains(rules, r) != slices.Contains(st.Live.Rules, r) {
				changed[r.Backend()] = true
			}
		}
		for name, is := range changed {
			if domain, ok := haproxy.DomainOf(name); ok && is {
				seen.Changed = append(seen.Changed, domain)
			}
		}
		slices.Sort(seen.Changed)
		return seen, nil
	}, nil
}

// Forget forgets what was read of some domains.
func (m *fake) Forget(domains ...string) {
	for _, d := range domains {
		delete(m.recollection.backends, haproxy.BackendName(d))
	}
}

// slowRead is how long it takes in these tests to read everything.
const slowRead = 4 * time.Second

// readSlowly follows a snapshot, and then makes each reading of everything slow.
func (i inn) readSlowly(t *testing.T, s registry.Snapshot) {
	t.Helper()
	i.registry.tell(s)
	synctest.Wait()
	i.haproxy.change(func() { i.haproxy.slowRead = slowRead })
}

func TestAChangeDoesNotWaitForAResync(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{"before HAProxy is read": slowRead / 4, "after it is read": 3 * slowRead / 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
				i.readSlowly(t, twoDomains())
				elapse(defaultResync + after)
				i.registry.change(moved(900, 7), "b.abc.com")
				synctest.Wait()
				if port := portOf(i.haproxy.now().live); port != 7 {
					t.Errorf("port %d during the resync", port)
				}
				elapse(slowRead + 2*fileDelay)
				now, s := i.haproxy.now(), i.Status()
				if portOf(now.file) != 7 || now.wholeReads != 1 || now.backgroundLooks != 1 || s.Counts.Drift != 0 || s.Applied != 900 {
					t.Errorf("port %d, %d whole reads, %d looks, %+v", portOf(now.file), now.wholeReads, now.backgroundLooks, s)
				}
			})
		})
	}
}

// TestWhatAPassHasReadDuringALookIsNotReadAgain has a look see the process after a change, and compare it with what was known before.
func TestWhatAPassHasReadDuringALookIsNotReadAgain(t *testing.T) {
	t.Parallel()
	for name, during := range map[string]func(i inn){
		"a changed domain": func(i inn) { i.registry.change(moved(900, 7), "b.abc.com") },
		"everything": func(i inn) {
			i.haproxy.change(func() {
				i.haproxy.live.Backends[1].Servers[0].Weight, i.haproxy.slowRead = 7, 0 // an override, which stays
			})
			i.Resync()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
				i.readSlowly(t, twoDomains())
				elapse(defaultResync + slowRead/4)
				during(i)
				elapse(slowRead / 8)
				before := i.haproxy.now()
				if before.backgroundLooks > 0 || before.commands == 0 && before.wholeReads < 2 {
					t.Fatalf("%d looks, %d commands before the look has read HAProxy", before.backgroundLooks, before.commands)
				}
				elapse(2 * slowRead)
				if now := i.haproxy.now(); now.backgroundLooks != 1 || now.reads != before.reads || now.wholeReads != before.wholeReads {
					t.Errorf("%d looks, %d more reads, %d more whole ones", now.backgroundLooks, now.reads-before.reads, now.wholeReads-before.wholeReads)
				}
			})
		})
	}
}

func TestAChangeGoesBeforeAPassOverEverything(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.readSlowly(t, twoDomains())
		i.Resync()
		elapse(slowRead / 2)
		i.registry.change(moved(900, 7), "b.abc.com")
		i.Resync()
		elapse(slowRead/2 + time.Millisecond)
		if port := portOf(i.haproxy.now().live); port != 7 {
			t.Errorf("port %d before the second reading", port)
		}
		elapse(slowRead)
		if n := i.haproxy.now().wholeReads; n != 3 {
			t.Errorf("%d whole reads", n)
		}
	})
}

func TestALookFindsWhatHasChangedWithoutThePasses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change     func(*fake)
		drift      int
		wholeReads int
	}{
		"nothing":               {func(*fake) {}, 0, 0},
		"a server":              {func(m *fake) { m.live.Backends[1].Servers[0].Addr = host("", "10.9.9.9:9").Addr }, 1, 0},
		"a server is gone":      {func(m *fake) { m.live.Backends[0].Servers = m.live.Backends[0].Servers[:1] }, 1, 0},
		"an unknown domain":     {func(m *fake) { m.live.Backends = append(m.live.Backends, unknownDomain()) }, 1, 0},
		"a warning":             {func(m *fake) { m.warnings = []string{"beware"} }, 0, 1},
		"no room for the file":  {func(m *fake) { m.noWrite = errors.New("no room") }, 0, 1},
		"an address of its own": {func(m *fake) { m.binds.Local = map[netip.Addr]bool{netip.MustParseAddr("10.0.0.1"): true} }, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
				i.readSlowly(t, twoDomains())
				i.haproxy.change(func() { c.change(i.haproxy.fake) })
				elapse(defaultResync + 3*slowRead)
				now, s := i.haproxy.now(), i.Status()
				want, _ := layout.Desired(twoDomains(), haproxy.State{})
				if differs := now.differs(want); len(differs) > 0 || s.Counts.Drift != c.drift || now.wholeReads != 1+c.wholeReads {
					t.Errorf("%d whole reads, drift %d, still to do: %v", now.wholeReads, s.Counts.Drift, differs)
				}
				if c.drift > 0 && (len(s.Passes) == 0 || s.Passes[0].By != ByDrift) {
					t.Errorf("passes %+v", s.Passes)
				}
				elapse(defaultResync) // it is not found again
				if n := i.haproxy.now(); n.wholeReads != now.wholeReads || n.commands != now.commands {
					t.Errorf("%d more whole reads, %d more commands", n.wholeReads-now.wholeReads, n.commands-now.commands)
				}
			})
		})
	}
}

// TestDriftCountsOnce has a pass that undoes a change by hand in the process, and that also writes to the file what it lacks.
func TestDriftCountsOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.registry.change(moved(900, 7), "b.abc.com")
		synctest.Wait()
		i.haproxy.change(func() { i.haproxy.live.Backends[0].Servers[0].Addr = host("", "10.9.9.9:9").Addr })
		i.Resync()
		synctest.Wait()
		if now, n := i.haproxy.now(), i.Status().Counts.Drift; portOf(now.file) != 7 || n != 1 {
			t.Errorf("port %d in the file, drift %d", portOf(now.file), n)
		}
	})
}

func unknownDomain() haproxy.Backend {
	return haproxy.Backend{Name: haproxy.BackendName("x.org"), Servers: []haproxy.Server{
		{Name: "s1", Cookie: "s1", Addr: host("", "10.9.9.9:9").Addr, Weight: 1, State: haproxy.Ready},
	}}
}

// TestAReloadDuringALookIsNoChangeOfHAProxy has a reload that begins before HAProxy is read, and ends after the look.
func TestAReloadDuringALookIsNoChangeOfHAProxy(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.readSlowly(t, twoDomains())
		i.haproxy.change(func() { i.haproxy.settles = slowRead })
		elapse(defaultResync + slowRead/4)
		s := revised(twoDomains(), 900)
		s.Domains[0].Options.Balance = "leastconn"
		i.registry.change(s, "a.abc.com")
		elapse(4 * slowRead)
		if now, status := i.haproxy.now(), i.Status(); now.reloads != 1 || now.wholeReads != 2 || status.Counts.Drift != 0 || !status.Ready() || status.Applied != 900 {
			t.Errorf("%d reloads, %d whole reads, %+v", now.reloads, now.wholeReads, status)
		}
	})
}

func TestEverythingIsComparedNowAndThen(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		elapse(maxLooks*defaultResync + time.Second)
		if now := i.haproxy.now(); now.wholeReads != 1 || now.backgroundLooks != maxLooks {
			t.Errorf("%d whole reads, %d looks", now.wholeReads, now.backgroundLooks)
		}
		elapse(defaultResync)
		if now := i.haproxy.now(); now.wholeReads != 2 {
			t.Errorf("%d whole reads", now.wholeReads)
		}
	})
}

// TestNoLookTakesAChangeOfAPassForDrift has looks all the time, and the registry change at random moments of them.
func TestNoLookTakesAChangeOfAPassForDrift(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			often := func(cfg *AgentConfig) { cfg.Resync = slowRead }
			inBubbleWith(t, inLine(twoDomains(), v32), often, func(t *testing.T, i inn) {
				random := rand.New(rand.NewPCG(seed, 0))
				s := twoDomains()
				i.readSlowly(t, s)
				for n := range 200 {
					var changed string
					hosts := countSnapshot(s).hosts
					s, changed = changedAtRandom(random, s, registry.Revision(900+n))
					i.registry.change(s, changed)
					if countSnapshot(s).hosts < hosts {
						elapse(removalWindow / 2) // else the safeguard holds them
					}
					elapse(time.Duration(random.Int64N(int64(slowRead))))
				}
				elapse(3 * slowRead)
				now, status := i.haproxy.now(), i.Status()
				want, _ := layout.Desired(s, haproxy.State{})
				if differs := now.differs(want); len(differs) > 0 || status.Counts.Drift > 0 || !status.Ready() || now.backgroundLooks < 100 {
					t.Errorf("drift %d, %d looks, %v, still to do: %v", status.Counts.Drift, now.backgroundLooks, status.Reasons, differs)
				}
			})
		})
	}
}
