package sync

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// newShade is a shadow that does not run: a test makes its steps.
func newShade(t *testing.T, m *fake, set func(*ShadowConfig)) shade {
	t.Helper()
	s := shade{registry: newScript(), haproxy: &guarded{fake: m}, logged: new(tape)}
	cfg := ShadowConfig{Follower: s.registry, Looker: s.haproxy, Layout: layout, Logger: slog.New(slog.NewTextHandler(s.logged, nil))}
	set(&cfg)
	shadow, err := NewShadow(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Shadow = shadow
	return s
}

// manyDomains are so many domains of one host each.
func manyDomains(n int) registry.Snapshot {
	s := registry.Snapshot{Prefix: "/services/web", Revision: 812, Keys: n}
	for i := range n {
		s.Domains = append(s.Domains, domain(fmt.Sprintf("d%05d.abc.com", i), host("server1", "10.0.0.1:80")))
	}
	return s
}

func TestAShadowKeepsFewOfTheUpdatesThatItHasNoTimeFor(t *testing.T) {
	t.Parallel()
	s := newShade(t, inLine(twoDomains(), v32), func(*ShadowConfig) {})
	s.receive(registry.Update{Snapshot: twoDomains(), All: true})
	s.step(t.Context())
	for i := range 1000 {
		snapshot := movedTo(registry.Revision(813+i), "10.0.0.9:1")
		s.receive(registry.Update{Snapshot: snapshot, Changed: []string{fmt.Sprintf("%d.abc.com", i%10), "a.abc.com"}})
	}
	last := s.updates[len(s.updates)-1]
	if len(s.updates) > maxUpdates || last.Snapshot.Revision != 1812 || len(last.Changed) != 11 || !slices.IsSorted(last.Changed) {
		t.Fatalf("%d wait, the last one is about revision %d and %q", len(s.updates), last.Snapshot.Revision, last.Changed)
	}
	for i := range 2 * maxPartial {
		s.receive(registry.Update{Snapshot: movedTo(2000, "10.0.0.9:2"), Changed: []string{fmt.Sprintf("%d.abc.com", i)}})
	}
	if last := s.updates[len(s.updates)-1]; len(last.Changed) > maxPartial || !last.All {
		t.Errorf("the last one names %d domains", len(last.Changed))
	}
	s.step(t.Context())
	if want, _ := layout.Desired(movedTo(2000, "10.0.0.9:2"), haproxy.State{}); !s.comparison.want.Equal(want) {
		t.Errorf("wanted: %+v, want %+v", s.comparison.want, want)
	}
}

func TestAShadowThatEndsTakesNoMoreUpdates(t *testing.T) {
	t.Parallel()
	begun := 0
	s := newShade(t, inLine(twoDomains(), v32), func(c *ShadowConfig) {
		c.Begin = func() func() { begun++; return func() {} }
	})
	s.receive(registry.Update{Snapshot: twoDomains(), All: true})
	s.step(t.Context())
	s.soonest, begun = time.Now().Add(time.Hour), 0
	s.receive(registry.Update{Snapshot: movedTo(813, "10.0.0.9:1"), Changed: []string{"a.abc.com"}})
	s.step(t.Context())
	if s.snapshot.Revision != 813 || begun != 1 {
		t.Errorf("revision %d, %d things were begun: the watchdog does not see it", s.snapshot.Revision, begun)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	s.receive(registry.Update{Snapshot: movedTo(814, "10.0.0.9:2"), Changed: []string{"a.abc.com"}})
	s.step(ended)
	if s.snapshot.Revision != 813 {
		t.Error("it has taken an update after its end")
	}
}

// TestAnUpdateOfOneDomainCostsAShadowLittle is not parallel: it counts what is allocated.
func TestAnUpdateOfOneDomainCostsAShadowLittle(t *testing.T) {
	snapshot := manyDomains(3000)
	s := newShade(t, inLine(snapshot, v32), func(*ShadowConfig) {})
	s.receive(registry.Update{Snapshot: snapshot, All: true})
	s.step(t.Context())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const updates = 20
	for i := range updates {
		next := snapshot
		next.Revision += registry.Revision(i + 1)
		next.Domains = slices.Clone(snapshot.Domains)
		next.Domains[7] = domain(next.Domains[7].Name, host("server1", fmt.Sprintf("10.0.0.1:%d", 81+i)))
		s.update(registry.Update{Snapshot: next, Changed: []string{next.Domains[7].Name}})
	}
	runtime.ReadMemStats(&after)
	cost := (after.TotalAlloc - before.TotalAlloc) / updates
	clones := uint64(3000 * 400) // the test's own
	if cost > clones+200_000 {
		t.Errorf("%d bytes for each update", cost)
	}
}

func TestAShadowOfAnotherEtcdClusterSaysThatAnAgentWouldHoldItsChanges(t *testing.T) {
	t.Parallel()
	inShade(t, inLine(twoDomains(), v32), func(t *testing.T, s shade) {
		s.registry.tell(twoDomains())
		elapse(time.Second)
		other := movedTo(900, "10.0.0.9:1")
		other.ClusterID = 2
		s.registry.tell(other)
		elapse(time.Second)
		if st := s.Status(); !strings.Contains(st.Held, "etcd is another cluster") {
			t.Errorf("held %q", st.Held)
		}
		s.acts(other)
		elapse(time.Minute)
		if st := s.Status(); st.Held != "" || !st.Ready() {
			t.Errorf("in line, and held %q: %q", st.Held, st.Reasons)
		}
		next := movedTo(901, "10.0.0.9:2")
		next.ClusterID = 2
		s.registry.change(next, "a.abc.com")
		elapse(time.Second)
		if st := s.Status(); st.Held != "" || len(st.Shadow.Changes) != 1 {
			t.Errorf("the cluster is known by now, and held %q: %v", st.Held, st.Shadow.Changes)
		}
	})
}

func TestAShadowOfARestoredEtcdDoesNotKnowWhatTheOtherToolHasSeenOfIt(t *testing.T) {
	t.Parallel()
	inShade(t, inLine(twoDomains(), v32), func(t *testing.T, s shade) {
		s.registry.tell(twoDomains())
		elapse(time.Second)
		before := movedTo(100_001, "10.0.0.9:1")
		s.registry.change(before, "a.abc.com")
		s.acts(before)
		elapse(time.Minute)
		s.counts(t, 1, 0, 0)
		restored := movedTo(50, "10.0.0.9:1")
		restored.ClusterID = 2
		s.registry.tell(restored)
		elapse(time.Minute)
		next := movedTo(51, "10.0.0.9:2")
		next.ClusterID = 2
		s.registry.change(next, "a.abc.com")
		elapse(time.Hour)
		s.counts(t, 1, 0, 1)
		if c := s.Status().Shadow.Changes[0]; c.State != ShadowUnanswered || c.Revision != 51 {
			t.Errorf("%+v", c)
		}
		s.acts(next)
		elapse(time.Minute)
		s.counts(t, 2, 0, 0)
	})
}

func TestAShadowWithNewSettingsWaitsForTheRegistry(t *testing.T) {
	t.Parallel()
	was := newShade(t, inLine(twoDomains(), v32), func(*ShadowConfig) {})
	was.receive(registry.Update{Snapshot: twoDomains(), All: true})
	was.step(t.Context())
	if !was.Status().Ready() {
		t.Fatal(was.Status().Reasons)
	}
	m := inLine(twoDomains(), v32)
	s := newShade(t, m, func(*ShadowConfig) {})
	s.Inherit(was.Shadow)
	s.due = true
	s.step(t.Context())
	if m.wholeReads > 0 || s.Status().Ready() {
		t.Errorf("it has looked %d times, and is ready: %t", m.wholeReads, s.Status().Ready())
	}
	s.receive(registry.Update{Snapshot: twoDomains(), All: true})
	s.step(t.Context())
	if m.wholeReads != 1 || !s.Status().Ready() || s.comparison.looks != 2 {
		t.Errorf("it has looked %d times, in all %d times, and is ready: %t", m.wholeReads, s.comparison.looks, s.Status().Ready())
	}
}

func TestAShadowOfSomethingElseInheritsNothing(t *testing.T) {
	t.Parallel()
	was := newShade(t, inLine(twoDomains(), v32), func(*ShadowConfig) {})
	was.receive(registry.Update{Snapshot: twoDomains(), All: true})
	was.step(t.Context())
	for name, set := range map[string]func(*ShadowConfig){
		"another prefix or file": func(c *ShadowConfig) { c.Subject = "/other" },
		"other frontends":        func(c *ShadowConfig) { c.Layout.Frontends = []string{"webin", "internal"} },
		"another routing":        func(c *ShadowConfig) { c.Layout.Routing = RoutingMap },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShade(t, inLine(twoDomains(), v32), set)
			s.Inherit(was.Shadow)
			if s.comparison.looks > 0 || s.snapshot.Revision > 0 || s.memory.confirmed.Revision > 0 || s.Status().Ready() {
				t.Errorf("%d looks, revision %d, ready: %t", s.comparison.looks, s.snapshot.Revision, s.Status().Ready())
			}
		})
	}
}

func TestAShadowForgetsAHoldThatTheOtherToolOverrode(t *testing.T) {
	t.Parallel()
	inShade(t, inLine(twoDomains(), v32), func(t *testing.T, s shade) {
		s.registry.tell(twoDomains())
		elapse(time.Second)
		s.registry.tell(registry.Snapshot{Prefix: "/services/web", Revision: 813})
		elapse(time.Second)
		s.acts(registry.Snapshot{})
		elapse(48 * time.Hour)
		s.counts(t, 0, 3, 0)
		if len(s.heldRemovals) > 0 {
			t.Errorf("withheld: %v", s.heldRemovals)
		}
		renewed := registry.Snapshot{Prefix: "/services/web", Revision: 814, Keys: 4, Domains: []*registry.Domain{
			domain("a.abc.com", host("server3", "10.0.0.3:1"), host("server4", "10.0.0.4:1")), domain("c.abc.com", host("server1", "10.0.0.5:1")),
		}}
		s.registry.tell(renewed)
		s.acts(renewed)
		elapse(time.Minute)
		agreed := s.Status().Shadow.Agreed
		next := renewed
		next.Revision, next.Domains = 815, slices.Clone(renewed.Domains)
		next.Domains[0] = domain("a.abc.com", host("server3", "10.0.0.3:1"))
		s.registry.change(next, "a.abc.com")
		s.acts(next)
		elapse(time.Minute)
		s.counts(t, agreed+1, 3, 0)
	})
}

func TestAShadowSaysWhatASafeguardWouldHaveHeldOfARemovalKeyByKey(t *testing.T) {
	t.Parallel()
	snapshot := manyDomains(10)
	inShade(t, inLine(snapshot, v32), func(t *testing.T, s shade) {
		s.registry.tell(snapshot)
		elapse(time.Second)
		for len(snapshot.Domains) > 1 {
			gone := snapshot.Domains[0].Name
			snapshot.Domains = snapshot.Domains[1:]
			snapshot.Keys--
			snapshot.Revision++
			s.acts(snapshot)
			s.registry.change(snapshot, gone)
			elapse(200 * time.Millisecond)
		}
		s.counts(t, 5*3, 4, 0) // server, backend and rule; of those held the servers
	})
}

// TestAShadowSaysWhatASafeguardWouldHaveHeldOfARemovalThatItSeesInHAProxyFirst has the shadow hear of a change after the other tool.
func TestAShadowSaysWhatASafeguardWouldHaveHeldOfARemovalThatItSeesInHAProxyFirst(t *testing.T) {
	t.Parallel()
	for name, removed := range map[string]struct{ domains, agreed, differed int }{
		"few":      {domains: 1, agreed: 3},
		"too many": {domains: 9, differed: 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			snapshot := manyDomains(10)
			inShade(t, inLine(snapshot, v32), func(t *testing.T, s shade) {
				s.registry.tell(snapshot)
				elapse(time.Second)
				var gone []string
				for _, d := range snapshot.Domains[:removed.domains] {
					gone = append(gone, d.Name)
				}
				snapshot.Domains = snapshot.Domains[removed.domains:]
				snapshot.Keys -= removed.domains
				snapshot.Revision++
				s.acts(snapshot)
				elapse(pollInterval)
				s.registry.change(snapshot, gone...)
				elapse(time.Second)
				s.counts(t, removed.agreed, removed.differed, 0)
				_, entries := s.logged.take()
				for _, e := range entries {
					for _, c := range e.Changes {
						if c.Op != haproxy.OpRemove {
							t.Errorf("it tells of %+v", c)
						}
					}
				}
				if len(entries) == 0 {
					t.Error("it tells of nothing")
				}
			})
		})
	}
}

func TestAShadowSaysWhatASafeguardWouldHaveHeldOfTheLastKey(t *testing.T) {
	t.Parallel()
	snapshot := manyDomains(1)
	inShade(t, inLine(snapshot, v32), func(t *testing.T, s shade) {
		s.registry.tell(snapshot)
		elapse(time.Second)
		empty := registry.Snapshot{Prefix: "/services/web", Revision: 813}
		s.acts(empty)
		s.registry.change(empty, snapshot.Domains[0].Name)
		elapse(time.Minute)
		s.counts(t, 0, 1, 0)
	})
}

func TestAComparisonOfNamesThatComeAndGoKeepsSoMuch(t *testing.T) {
	t.Parallel()
	s := newStage("a.abc.com/s1=1")
	const names = maxSteps / 6
	for i := range names {
		name := fmt.Sprintf("n%d.abc.com", i)
		one, none := configOf(name+"/s1=1"), haproxy.Config{}
		s.revision++
		s.now = s.now.Add(time.Millisecond)
		s.c.update(s.revision, none, one, s.now)
		s.c.update(s.revision, one, none, s.now)
		if s.c.steps > maxSteps {
			t.Fatalf("%d steps after %d names", s.c.steps, i)
		}
	}
	counted := 0
	for _, line := range s.c.timelines {
		counted += len(line.steps)
	}
	if counted != s.c.steps {
		t.Errorf("%d steps, counted as %d", counted, s.c.steps)
	}
	known := func(n int) bool {
		key := haproxy.ServerKey{Backend: haproxy.BackendName(fmt.Sprintf("n%d.abc.com", n)), Name: "s1"}
		return s.c.timelines[managedObject{kind: haproxy.ObjectServer, key: key}] != nil
	}
	if known(0) || !known(names-1) {
		t.Errorf("the oldest one is remembered: %t, the newest: %t", known(0), known(names-1))
	}
	s.asks("a.abc.com/s1=2")
	s.has("a.abc.com/s1=2")
	s.look()
	s.tells(t, "same a.abc.com/s1")
}
