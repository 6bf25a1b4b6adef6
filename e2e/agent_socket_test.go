package e2e

import "testing"

// TestAgentOutlivesASocketThatLies has the registry change meanwhile, so that there is something to do.
func TestAgentOutlivesASocketThatLies(t *testing.T) {
	t.Parallel()
	for _, l := range lies {
		t.Run(l.name, func(t *testing.T) {
			outlives := func(t *testing.T, h haproxy) { outlivesLies(t, h, l.lie) }
			if l.each {
				eachHAProxy(t, outlives)
				return
			}
			t.Parallel()
			outlives(t, latestHAProxy(t))
		})
	}
}

func outlivesLies(t *testing.T, h haproxy, lie func([]byte) []byte) {
	t.Helper()
	b := startABC(t, h)
	socket := startLiar(t, b.dir, b.runtimeSocket)
	a := b.startAgent(t, "--runtime-socket", socket.path)
	a.ready(t)
	moved := startHost(t, "moved")
	file, before := footprintOf(t, b.managedFile), b.generation(t)

	socket.tells(lie)
	b.txn(t, addrOf(t, "b.abc.com/server1", moved.addr))
	a.unready(t, "the last pass failed", socket.path)
	b.serves(t, "a.abc.com", "server1", b.a1)
	b.serves(t, "a.abc.com", "server2", b.a2)
	if footprintOf(t, b.managedFile) != file {
		t.Errorf("the file was written:\n%s", read(t, b.managedFile))
	}
	b.notReloaded(t, before)

	socket.tells(nil)
	b.comes(t, "b.abc.com", "server1", moved)
	a.ready(t)
	b.settles(t)
	b.notReloaded(t, before)
}
