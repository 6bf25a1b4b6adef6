package e2e

import (
	"fmt"
	"testing"
)

// TestAgentHoldsARemovalRightAfterItBroughtTheServers has nothing pass between the two that would count the servers again.
func TestAgentHoldsARemovalRightAfterItBroughtTheServers(t *testing.T) {
	t.Parallel()
	b := startBox(t, latestHAProxy(t))
	only := startHost(t, "a.abc.com")
	const servers = 10
	hosts := map[string]string{}
	for i := range servers {
		for key, value := range addrOf(t, fmt.Sprintf("a.abc.com/server%d", i), only.addr) {
			hosts[key] = value
		}
	}
	b.txn(t, hosts)
	a := b.startAgent(t, "--resync", "1h")
	a.ready(t)
	b.has(t, servers)

	b.txn(t, nil, "a.abc.com/server0/", "a.abc.com/server1/", "a.abc.com/server2/", "a.abc.com/server3/", "a.abc.com/server4/", "a.abc.com/server5/")
	a.unready(t, "held", "6 of 10 managed servers", "50%")
	b.has(t, servers)

	b.txn(t, addrOf(t, "a.abc.com/server0", only.addr))
	a.ready(t)
	b.has(t, 5)
}
