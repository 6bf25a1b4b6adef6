package sync

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// TestAChangeIsMeasuredFromEtcdIntoTheProcess has all in virtual time, so that what is measured is exact.
func TestAChangeIsMeasuredFromEtcdIntoTheProcess(t *testing.T) {
	t.Parallel()
	const waited = 250 * time.Millisecond // before the agent was told
	hears := func(i inn, s registry.Snapshot, names ...string) {
		u := registry.Update{Snapshot: s, Changed: names, Heard: map[string]time.Time{}}
		for _, name := range names {
			u.Heard[name] = time.Now().Add(-waited)
		}
		i.registry.updates <- u
		synctest.Wait()
	}
	slowly := func(i inn) {
		i.haproxy.change(func() { i.haproxy.slowWrite, i.haproxy.slowReload = 500*time.Millisecond, time.Second })
	}
	pending := revised(twoDomains(), 900)
	pending.Domains[0].Pending = []registry.Pending{{Host: "server3", Missing: "port"}}
	left := revised(twoDomains(), 900)
	left.Domains[0].Hosts = left.Domains[0].Hosts[:1]
	for name, test := range map[string]struct {
		do   func(inn)
		want []string
	}{
		"a host that moves": {func(i inn) { hears(i, moved(900, 7), "b.abc.com") }, []string{"runtime 250ms"}},
		"a host that is removed, and drains": {func(i inn) {
			i.haproxy.change(func() { i.haproxy.lingers = func(haproxy.RemoveServer) bool { return true } })
			hears(i, left, "a.abc.com")
			elapse(time.Minute)
		}, []string{"runtime 250ms"}},
		"a domain that waits for a reload, and changes meanwhile": {func(i inn) {
			slowly(i)
			hears(i, withNew(revised(twoDomains(), 900)), "c.abc.com")
			elapse(100 * time.Millisecond)
			hears(i, withNew(moved(901, 7)), "b.abc.com", "c.abc.com")
			elapse(time.Minute)
		}, []string{"runtime 250ms", "reload 1.75s"}},
		"a host that moves while HAProxy does not answer": {func(i inn) {
			i.haproxy.change(func() { i.haproxy.down = true })
			hears(i, moved(900, 7), "b.abc.com")
			elapse(400 * time.Millisecond)
			i.haproxy.change(func() { i.haproxy.down = false })
			elapse(time.Minute)
		}, []string{"runtime 1.25s"}},
		"a host that is half written":           {func(i inn) { hears(i, pending, "a.abc.com") }, nil},
		"what a listing found":                  {func(i inn) { i.registry.tell(moved(900, 7)); synctest.Wait() }, nil},
		"a change that nobody knows the age of": {func(i inn) { i.registry.change(moved(900, 7), "b.abc.com"); synctest.Wait() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			tell := func(c *AgentConfig) {
				c.Measure = func(way Way, took time.Duration) { got = append(got, fmt.Sprint(way, " ", took)) }
			}
			inBubbleWith(t, inLine(twoDomains(), v32), tell, func(_ *testing.T, i inn) {
				i.registry.tell(twoDomains())
				synctest.Wait()
				test.do(i)
				elapse(2 * time.Minute) // a resync
			})
			if !slices.Equal(got, test.want) {
				t.Errorf("have %q, want %q", got, test.want)
			}
		})
	}
}
