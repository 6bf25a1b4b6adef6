package sync

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A world is an agent, a registry that changes at random, and a HAProxy that refuses, drains and restarts at random.
type world struct {
	inn
	random   *rand.Rand
	snapshot registry.Snapshot
	changed  map[string]registry.Revision // when each domain was changed last
	refuses  map[string]bool              // the domains that haproxy -c refuses to change
	unloads  map[string]bool              // and those that a reload fails with
	acks     int
}

// TestNothingThatIsAcknowledgedIsUndone looks after each step at the domains of which all changes are acknowledged.
func TestNothingThatIsAcknowledgedIsUndone(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			m := inLine(twoDomains(), []haproxy.Version{v32, {Major: 2, Minor: 6}, {Major: 3, Minor: 4}}[seed%3])
			m.grows, m.added = true, map[string]bool{}
			inBubble(t, m, func(t *testing.T, i inn) {
				w := &world{inn: i, random: rand.New(rand.NewPCG(seed, 1)), snapshot: twoDomains(),
					changed: map[string]registry.Revision{}, refuses: map[string]bool{}, unloads: map[string]bool{}}
				w.arm(m)
				i.registry.tell(w.snapshot)
				synctest.Wait()
				for n := range 150 {
					what := w.step(registry.Revision(900 + n))
					w.check(t, fmt.Sprintf("step %d: %s", n, what))
				}
				i.haproxy.change(func() {
					clear(w.refuses)
					clear(w.unloads)
					m.lingers, i.haproxy.slowWrite, i.haproxy.slowReload, i.haproxy.settles = nil, 0, 0, 0
				})
				elapse(maxRefusedRetry + 2*defaultResync)
				w.check(t, "in the end")
				if s := i.Status(); s.Applied != w.snapshot.Revision || !s.Ready() {
					t.Errorf("in the end applied %d of %d, %v", s.Applied, w.snapshot.Revision, s.Reasons)
				}
				want, _ := layout.Desired(w.snapshot, haproxy.State{})
				if changes := i.haproxy.now().differs(want); len(changes) > 0 {
					t.Errorf("not in line: %v", changes)
				}
				if w.acks == 0 {
					t.Errorf("nothing was acknowledged: the test is blind")
				}
			})
		})
	}
}

// arm makes HAProxy refuse what the world says.
func (w *world) arm(m *fake) {
	file := func(name string) haproxy.Backend { b, _ := backendOf(m.file, name); return b }
	m.refuses = func(c haproxy.Config) []string {
		for name := range w.refuses {
			if b, _ := backendOf(c, name); b.Name != "" && (b.Name != file(name).Name || b.Options != file(name).Options) {
				return []string{name}
			}
		}
		return nil
	}
	m.unloadable = func(c haproxy.Config) bool {
		return slices.ContainsFunc(c.Backends, func(b haproxy.Backend) bool {
			name, _ := haproxy.DomainOf(b.Name)
			live, _ := backendOf(m.live, name)
			return w.unloads[name] && b.Options != live.Options
		})
	}
}

// step lets one thing happen, and some time pass.
func (w *world) step(revision registry.Revision) (what string) {
	names := []string{"a.abc.com", "b.abc.com", "c.abc.com", "d.abc.com"}
	name := names[w.random.IntN(len(names))]
	w.haproxy.change(func() {
		w.haproxy.slowWrite, w.haproxy.slowReload, w.haproxy.settles = upTo(w.random, 200), upTo(w.random, 500), upTo(w.random, 300)
	})
	switch w.random.IntN(12) {
	case 0:
		what = "haproxy -c refuses options of " + name
		w.haproxy.change(func() { w.refuses[name] = !w.refuses[name] })
	case 1:
		what = "a reload fails with options of " + name
		w.haproxy.change(func() { w.unloads[name] = !w.unloads[name] })
	case 2:
		what = "servers linger, or do not"
		lingers := w.random.IntN(2) == 0
		w.haproxy.change(func() { w.haproxy.lingers = func(haproxy.RemoveServer) bool { return lingers } })
	case 3:
		what = "HAProxy is restarted"
		w.haproxy.change(w.haproxy.restart)
		elapse(2*pollInterval + time.Second)
	default:
		what = "a change of " + name
		w.change(name, revision)
	}
	elapse(time.Duration(w.random.IntN(3)*w.random.IntN(2000)) * time.Millisecond)
	return what
}

// change changes a domain; a.abc.com and b.abc.com stay, the others come and go.
func (w *world) change(name string, revision registry.Revision) {
	s := revised(w.snapshot, revision)
	i := slices.IndexFunc(s.Domains, func(d *registry.Domain) bool { return d.Name == name })
	switch {
	case i < 0:
		s = revised(s, revision, domain(name, host("server1", "10.0.0.5:80")))
	case name > "c" && w.random.IntN(3) == 0:
		s.Domains = slices.Delete(s.Domains, i, i+1)
	default:
		d := s.Domains[i]
		d.Hosts = slices.Clone(d.Hosts)
		switch w.random.IntN(4) {
		case 0:
			d.Options.Balance = []string{"", "leastconn"}[w.random.IntN(2)]
		case 1:
			d.Hosts[0].Weight = 1 + w.random.IntN(9)
		default:
			d.Hosts[0].Addr = host("", fmt.Sprintf("10.0.0.%d:80", 1+w.random.IntN(200))).Addr
		}
	}
	slices.SortFunc(s.Domains, func(a, b *registry.Domain) int { return compareNames(a.Name, b.Name) })
	w.snapshot, w.changed[name] = s, revision
	w.registry.change(s, name)
	synctest.Wait()
}

func compareNames(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// check looks at the domains of which everything is acknowledged.
func (w *world) check(t *testing.T, when string) {
	t.Helper()
	synctest.Wait()
	s := w.Status()
	now := w.haproxy.now()
	want, _ := layout.Desired(w.snapshot, haproxy.State{})
	for name, at := range w.changed {
		leftOut := slices.ContainsFunc(s.Last.Problems, func(p registry.Problem) bool { return p.Domain == name })
		if at > s.Applied || leftOut {
			continue
		}
		w.acks++
		is, _ := backendOf(now.live, name)
		asked, wanted := backendOf(want, name)
		if !wanted {
			is.Options = haproxy.BackendOptions{}
			asked.Name, asked.Servers, asked.Closed = is.Name, is.Servers, is.Closed // one that goes may linger
		}
		if !sameBackend(asked, is) {
			t.Fatalf("%s: %s, acknowledged at %d (applied %d), is %v, want %v", when, name, at, s.Applied, is, asked)
		}
	}
}
