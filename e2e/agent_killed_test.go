package e2e

import (
	"os"
	"testing"
)

// TestAgentOutlivesAValidationThatIsKilled has haproxy -c end by a signal, as it does where memory is short. That is no
// word against a domain.
func TestAgentOutlivesAValidationThatIsKilled(t *testing.T) {
	t.Parallel()
	b := startABC(t, latestHAProxy(t))
	b.wrap(t, "if [ -e kill ]; then kill -KILL $$; fi")
	a := b.startAgent(t)
	a.ready(t)
	c := startHost(t, "c.abc.com")
	file, before := footprintOf(t, b.managedFile), b.generation(t)

	write(t, b.dir+"/kill", "")
	b.txn(t, addrOf(t, "c.abc.com/server1", c.addr))
	a.unready(t, "the last pass failed", "signal: killed")
	if footprintOf(t, b.managedFile) != file {
		t.Errorf("the file was written:\n%s", read(t, b.managedFile))
	}
	b.notReloaded(t, before)

	if err := os.Remove(b.dir + "/kill"); err != nil {
		t.Fatal(err)
	}
	b.comes(t, "c.abc.com", "", c)
	a.ready(t)
	b.settles(t)
}
