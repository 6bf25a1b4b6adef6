package e2e

import "testing"

func TestAgentTakesANewPasswordAtHUP(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	moved := startHost(t, "moved")
	g.change(t, "second")
	g.unready(t, "registry", `it refuses user "reader" or the password`)
	write(t, g.file, "second\n")
	g.hangUp(t, "the agent runs with new settings")
	g.ready(t)
	g.etcd.put(t, g.box, addrOf(t, "a.abc.com/server1", moved.addr))
	g.comes(t, "a.abc.com", "server1", moved)
}
