package e2e

import (
	"fmt"
	"maps"
	"testing"
)

// appear registers new domains in one transaction: all of them need one reload.
func (s *storm) appear(domains int) {
	s.t.Helper()
	keys := map[string]string{}
	for range domains {
		domain := s.name("fleeting") + ".abc.com"
		s.domains[domain] = map[string]stormHost{}
		for range 1 + s.random.IntN(3) {
			name, h := s.name("s"), s.live()
			maps.Copy(keys, addrOf(s.t, domain+"/"+name, h.addr))
			s.domains[domain][name] = stormHost{host: h}
		}
	}
	s.txn(s.t, keys)
}

// liveChanges are those that a running process takes, each once at least.
func (s *storm) liveChanges() []func() {
	changes := []func(){s.move, s.reweigh, s.drain, s.remove, s.removeDomain, s.half, s.spoil, s.mend}
	if s.haproxy.can.CookieLive {
		changes = append(changes, func() { s.add(s.domain(), s.name("s"), s.live()) })
	}
	s.random.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
	return changes
}

// TestAgentReloadsForNewDomainsOnlyAndOnceForThoseThatComeTogether changes the registry in steps, and waits after each until
// it is done.
func TestAgentReloadsForNewDomainsOnlyAndOnceForThoseThatComeTogether(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		first := b.generation(t).reloads
		s := startStorm(t, b)
		a := b.startAgent(t, "--max-removal", "100", "--reload-interval", "10ms", "--drain-timeout", "1s")
		a.ready(t)
		b.settles(t)
		s.underLoad()
		want := b.generation(t).reloads
		reloaded := func(what string) {
			t.Helper()
			b.settles(t)
			a.ready(t)
			if have := b.generation(t).reloads; have != want {
				t.Errorf("%s: reload %d, want %d", what, have, want)
				want = have
			}
		}
		for step := range max(often(3, 1), stormChanges(t)/60) {
			s.appear(1 + s.random.IntN(4))
			want++
			reloaded(fmt.Sprintf("step %d, new domains", step))
			for _, change := range s.liveChanges() {
				change()
			}
			reloaded(fmt.Sprintf("step %d, what a running process takes", step))
		}
		s.passes()
		reloaded("at the end")
		a.measures(t, "hapsync_failed 0", "hapsync_ready 1", fmt.Sprint("hapsync_reloads_total ", want-first))
	})
}
