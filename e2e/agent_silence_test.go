package e2e

import (
	"testing"
)

// TestAgentSaysInTimeThatHAProxyIsSilent has HAProxy take questions and answer none, as one that is stopped does. A question
// is given up after ten seconds.
func TestAgentSaysInTimeThatHAProxyIsSilent(t *testing.T) {
	t.Parallel()
	b := startABC(t, latestHAProxy(t))
	socket := startLiar(t, b.dir, b.runtimeSocket)
	a := b.startAgent(t, "--runtime-socket", socket.path)
	a.ready(t)
	moved := startHost(t, "moved")
	before := b.generation(t)

	socket.fallsSilent()
	b.txn(t, addrOf(t, "b.abc.com/server1", moved.addr))
	a.unready(t, socket.path, "no complete answer in time")
	b.serves(t, "a.abc.com", "server1", b.a1)

	socket.tells(nil)
	b.comes(t, "b.abc.com", "server1", moved)
	a.ready(t)
	b.settles(t)
	b.notReloaded(t, before)
}

func TestAgentSaysInTimeThatHAProxyHasEnded(t *testing.T) {
	t.Parallel()
	b, a := startFollowed(t, latestHAProxy(t))
	b.master.end(t)
	a.unready(t, "haproxy", b.runtimeSocket)
	b.start(t)
	a.ready(t)
}
