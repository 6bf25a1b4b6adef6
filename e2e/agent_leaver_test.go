package e2e

import "testing"

// TestHostThatIsTakenOutHasNoClientLeftWhenItsKeysGo has clients with the host's cookie, and a request under way that keeps
// the host's server in HAProxy: without the maintenance before the deletion, the clients would stay with it until then.
func TestHostThatIsTakenOutHasNoClientLeftWhenItsKeysGo(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, _ := startFollowed(t, h)
		sticky := startLoadOf(t, b.box, "a.abc.com", "server1")
		if sticky.served(b.a1) == 0 {
			t.Fatal("nobody is with the host that goes")
		}
		slow := startSlow(t, b.box, "server1")

		b.must(t, "deregister", "--domain", "a.abc.com", "--host", "server1", "--drain", "0s")

		stayed := sticky.served(b.a1)
		sticky.goesOn(t)
		if more := sticky.served(b.a1) - stayed; more > 0 {
			t.Errorf("%d requests went to the host after its keys were gone", more)
		}
		slow.endsAt(t, b.a1)
		b.settles(t)
		sticky.endsWithoutFailure(t)
		b.managed(t, "a.abc.com server2="+b.a2.addr, "b.abc.com server1="+b.b1.addr)
	})
}
