package sync

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A stir is an agent whose registry changes at random, in bursts and while its HAProxy is being reloaded.
type stir struct {
	inn
	random   *rand.Rand
	snapshot registry.Snapshot
	gone     map[haproxy.ServerKey]registry.Revision // when servers were taken out that are not wanted
}

// inLineWithin is how long an agent may take after the last change: a reload that is at work, the pause between two, one more, and a
// look after it.
const inLineWithin = 8 * time.Second

func TestHAProxyIsInLineSoonAfterTheRegistryRests(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 2))
			version := []haproxy.Version{{Major: 2, Minor: 6}, v32, v34}[seed%3]
			m := inLine(twoDomains(), version)
			m.grows, m.added = version == v34, map[string]bool{}
			inBubbleWith(t, m, func(cfg *AgentConfig) { cfg.Policy.AllowMassRemoval = true }, func(t *testing.T, i inn) {
				s := &stir{inn: i, random: random, snapshot: twoDomains(), gone: map[haproxy.ServerKey]registry.Revision{}}
				i.registry.tell(s.snapshot)
				synctest.Wait()
				for round := range 30 {
					i.haproxy.change(func() {
						i.haproxy.slowWrite, i.haproxy.slowReload, i.haproxy.settles = upTo(random, 200), upTo(random, 500), upTo(random, 300)
					})
					var what []string
					for range 1 + random.IntN(10) {
						what = append(what, s.step())
						s.finishes(t, fmt.Sprintf("round %d: %q", round, what))
					}
					i.haproxy.change(func() { i.haproxy.lingers, i.haproxy.stubborn = nil, nil })
					elapse(inLineWithin)
					if rests := func(p registry.Problem) bool { return strings.Contains(p.Reason, "again and again") }; slices.ContainsFunc(i.Status().Last.Problems, rests) {
						elapse(maxCooldown + inLineWithin)
					}
					s.rests(t, fmt.Sprintf("round %d: %q", round, what))
				}
			})
		})
	}
}

// upTo is a random time, which is nothing every other time.
func upTo(random *rand.Rand, milliseconds int) time.Duration {
	return time.Duration(random.IntN(2)*random.IntN(milliseconds)) * time.Millisecond
}

// step lets one thing happen, and a moment pass.
func (s *stir) step() (what string) {
	switch s.random.IntN(20) {
	case 0:
		what = "HAProxy is restarted"
		clear(s.gone) // it may have them again for a moment
		s.haproxy.change(s.haproxy.restart)
	case 1:
		what = "removed servers linger"
		s.haproxy.change(func() { s.haproxy.lingers = func(haproxy.RemoveServer) bool { return true } })
	case 2:
		what = "the process refuses additions"
		s.haproxy.change(func() {
			s.haproxy.stubborn = func(c haproxy.Change) bool { _, adds := c.(haproxy.AddServer); return adds }
		})
	default:
		what = s.turn()
	}
	moment := upTo(s.random, 400)
	elapse(moment)
	return fmt.Sprint(what, ", ", moment)
}

// turn changes a domain: it comes or goes, or one of its hosts does, or moves, or gets another weight or state.
func (s *stir) turn() (what string) {
	next := revised(s.snapshot, s.snapshot.Revision+1)
	name := []string{"a.abc.com", "b.abc.com", "c.abc.com", "d.abc.com"}[s.random.IntN(4)]
	at := slices.IndexFunc(next.Domains, func(d *registry.Domain) bool { return d.Name == name })
	if at < 0 {
		next.Domains = append(next.Domains, domain(name))
		at = len(next.Domains) - 1
	}
	d := next.Domains[at]
	d.Hosts = slices.Clone(d.Hosts)
	called := fmt.Sprint("server", 1+s.random.IntN(3))
	i := slices.IndexFunc(d.Hosts, func(h registry.Host) bool { return h.Name == called })
	switch kind := s.random.IntN(6); {
	case i < 0:
		what = fmt.Sprintf("%s/%s comes", name, called)
		d.Hosts = append(d.Hosts, host(called, "10.0.0.1:80"))
		slices.SortFunc(d.Hosts, func(a, b registry.Host) int { return compareNames(a.Name, b.Name) })
	case kind < 3:
		what = fmt.Sprintf("%s/%s goes", name, called)
		d.Hosts = slices.Delete(d.Hosts, i, i+1)
	case kind == 3:
		what = fmt.Sprintf("%s/%s moves", name, called)
		d.Hosts[i].Addr = host("", fmt.Sprintf("10.0.0.%d:80", 1+s.random.IntN(3))).Addr
	case kind == 4:
		what = fmt.Sprintf("%s/%s has another state", name, called)
		d.Hosts[i].State = []registry.HostState{registry.Ready, registry.Drain, registry.Maint}[s.random.IntN(3)]
	default:
		what = name + " has another balance"
		d.Options.Balance = []string{"", "leastconn"}[s.random.IntN(2)]
	}
	key := haproxy.ServerKey{Backend: haproxy.BackendName(name), Name: called}
	if delete(s.gone, key); i >= 0 && !slices.ContainsFunc(d.Hosts, func(h registry.Host) bool { return h.Name == called }) {
		s.gone[key] = next.Revision
	}
	if len(d.Hosts) == 0 {
		next.Domains = slices.Delete(next.Domains, at, at+1)
	}
	slices.SortFunc(next.Domains, func(a, b *registry.Domain) int { return compareNames(a.Name, b.Name) })
	next.Changed = next.Revision
	s.snapshot = next
	s.registry.change(next, name)
	synctest.Wait()
	return what
}

// finishes looks whether each removed server that the process still has is called leaving, where its removal is acknowledged.
func (s *stir) finishes(t *testing.T, when string) {
	t.Helper()
	st, live := s.Status(), s.haproxy.now().live
	for key, at := range s.gone {
		b, _ := backendOf(live, key.Domain())
		if _, there := haproxy.FindServer(b, key.Name); there && st.Applied >= at && !slices.Contains(st.leaving, key) {
			t.Fatalf("%s: %s, taken out at %d (applied %d), is there, and not called leaving", when, key, at, st.Applied)
		}
	}
}

// rests looks whether HAProxy has all that the registry asks for, in the process and in the file.
func (s *stir) rests(t *testing.T, when string) {
	t.Helper()
	if st := s.Status(); st.Applied != s.snapshot.Revision || !st.Ready() {
		t.Fatalf("%s: applied %d of %d, %v", when, st.Applied, s.snapshot.Revision, st.Reasons)
	}
	want, _ := layout.Desired(s.snapshot, haproxy.State{})
	if changes := s.haproxy.now().differs(want); len(changes) > 0 {
		t.Fatalf("%s: not in line: %v", when, changes)
	}
}
