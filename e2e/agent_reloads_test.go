package e2e

import (
	"fmt"
	"testing"
)

// TestAgentOutlivesSeveralReloadsThatHAProxyRefuses has new domains come, each of which asks for a reload again.
func TestAgentOutlivesSeveralReloadsThatHAProxyRefuses(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a := startFollowed(t, h, "--reload-interval", "100ms")
		worker := b.generation(t).worker
		c := startHost(t, "c")
		repaired := b.unloadable(t)
		const domains = 4
		for i := range domains {
			domain := fmt.Sprintf("c%d.abc.com", i)
			skip := len(a.printed())
			b.txn(t, addrOf(t, domain+"/server1", c.addr))
			a.logs(t, skip, "level=ERROR", fmt.Sprint("revision=", b.revision(t, domain+"/server1/ip")))
			a.unready(t)
			b.serves(t, "a.abc.com", "server1", b.a1)
		}
		if reply, err := ask(b.masterSocket, "show proc"); err != nil || !hasLine(reply, []string{fmt.Sprint(worker), "worker"}) {
			t.Errorf("process %d does not serve on: %v\n%s", worker, err, reply)
		}

		repaired()
		for i := range domains {
			b.comes(t, fmt.Sprintf("c%d.abc.com", i), "", c)
		}
		a.ready(t)
		b.settles(t)
	})
}
