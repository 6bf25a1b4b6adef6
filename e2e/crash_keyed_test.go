package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestOperatorsWordsOutliveASyncThatIsKilledWhileItWritesFiles has keys come and go in the place of words that an operator has typed. It kills
// a sync at its moments: when it keeps what the worker has loaded, and what is there because keys say so, before and after the managed file.
// HAProxy starts again from the files as they are then, and the next sync completes the work.
func TestOperatorsWordsOutliveASyncThatIsKilledWhileItWritesFiles(t *testing.T) {
	t.Parallel()
	c := startCrashBox(t, firstHAProxy(t))
	const words, keys = "check weight 5 maxconn 9", "check weight 7 maxconn 3"
	operator(t, c.managedFile, c.b1.addr+" cookie server1 check", c.b1.addr+" cookie server1 "+words)
	operator(t, c.managedFile, c.a2.addr+" cookie server2 check", c.a2.addr+" cookie server2 check disabled")
	c.reload(t)
	c.inLine(t)
	line := func(addr string) string {
		for l := range strings.Lines(read(t, c.managedFile)) {
			if w := strings.Fields(l); len(w) > 5 && w[2] == addr {
				return strings.Join(w[5:], " ")
			}
		}
		return ""
	}
	c.trap.onFiles(t, c.dir, filepath.Join(c.dir, "tmp"))
	kills := 0
	for moment, killed := 1, true; killed; moment += often(1, 6) {
		killed = false
		for _, step := range []struct {
			change func()
			b1, a2 string // what stands behind the servers then
		}{
			{func() {
				c.txn(t, map[string]string{"b.abc.com/server1/weight": "7", "b.abc.com/server1/maxconn": "3", "a.abc.com/server2/state": "ready"})
			}, keys, "check"},
			{func() {
				c.txn(t, nil, "b.abc.com/server1/weight", "b.abc.com/server1/maxconn", "a.abc.com/server2/state")
			}, words, "check disabled"},
		} {
			step.change()
			if c.trap.set(t, c.box, moment, "sync") {
				killed = true
				kills++
			}
			for addr, either := range map[string][]string{c.b1.addr: {words, keys}, c.a2.addr: {"check", "check disabled"}} {
				if got := line(addr); !slices.Contains(either, got) {
					t.Errorf("the file has %q behind a server", got)
				}
			}
			c.master.end(t)
			c.start(t)
			c.serves(t, "b.abc.com", "", c.b1)
			c.serves(t, "a.abc.com", "server1", c.a1)
			c.must(t, "sync")
			c.inLine(t)
			c.serves(t, "b.abc.com", "", c.b1)
			for addr, want := range map[string]string{c.b1.addr: step.b1, c.a2.addr: step.a2} {
				if got := line(addr); got != want {
					t.Errorf("the file has %q behind a server, want %q", got, want)
				}
			}
			if t.Failed() {
				t.Fatalf("after a kill at moment %d", moment)
			}
		}
	}
	if kills < often(20, 5) {
		t.Errorf("only %d syncs were killed: the trap is blind", kills)
	}
	t.Logf("killed %d syncs", kills)
}
