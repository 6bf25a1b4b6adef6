package e2e

import (
	"fmt"
	"testing"
)

// unloadable has a listener of the operator's on a socket in a directory that is not there, which haproxy -c does not see.
func (b *box) unloadable(t *testing.T) (repaired func()) {
	t.Helper()
	nowhere := "\nfrontend nowhere\n    bind unix@" + b.dir + "/nowhere/x.sock\n"
	operator(t, b.baseFile, "\n# the statistics page\n", nowhere+"\n# the statistics page\n")
	return func() { operator(t, b.baseFile, nowhere, "") }
}

// TestAgentOutlivesAReloadThatHAProxyRefuses has the file written twice without a reload before that: the second text is
// the one to be restored.
func TestAgentOutlivesAReloadThatHAProxyRefuses(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a := startFollowed(t, h)
		for _, weight := range []string{"7", "9"} {
			b.put(t, "a.abc.com/server2/weight", weight)
			b.eventuallyWeighs(t, "a.abc.com_cluster/server2", weight+" ")
			b.settles(t)
		}
		good, worker := read(t, b.managedFile), b.generation(t).worker
		says(t, good, "server2 "+b.a2.addr, "weight 9")
		c := startHost(t, "c.abc.com")
		l := startLoad(t, b.box, "b.abc.com")
		repaired := b.unloadable(t)

		b.txn(t, addrOf(t, "c.abc.com/server1", c.addr))
		a.unready(t, "the last pass failed", "refuses to reload", "the old worker stays in service")
		b.isRestored(t, good)
		if now := b.generation(t).worker; now != worker {
			t.Errorf("process %d serves, not %d", now, worker)
		}
		b.unknown(t, "c.abc.com")
		l.goesOn(t) // HAProxy 3.2 may reset a connection while it refuses
		b.serves(t, "a.abc.com", "server1", b.a1)

		repaired()
		b.comes(t, "c.abc.com", "", c)
		a.ready(t)
		b.settles(t)
	})
}

// isRestored waits until the managed file is the text: a pass that fails writes it before, and restores it after its try.
func (b *box) isRestored(t *testing.T, text string) {
	t.Helper()
	eventually(t, "the managed file is restored", func() error {
		if now := read(t, b.managedFile); now != text {
			return fmt.Errorf("it is\n%s\nwant\n%s", now, text)
		}
		return nil
	})
}
