package e2e

import (
	"testing"
)

// TestARemovedDomainIsAnUnknownOne has a default_backend, or a rule of the operator's below ours: clients of a removed domain get
// there, as those of an unknown one do.
func TestARemovedDomainIsAnUnknownOne(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		for _, line := range []string{"    default_backend catchall\n", "    use_backend catchall if TRUE\n"} {
			b := startABC(t, h)
			catchall := startHost(t, "catchall")
			operator(t, b.managedFile, "    use_backend b.abc.com_cluster if is_b.abc.com\n", "    use_backend b.abc.com_cluster if is_b.abc.com\n"+line)
			operator(t, b.baseFile, "\n# the statistics page\n", "\nbackend catchall\n    server c "+catchall.addr+"\n\n# the statistics page\n")
			b.reload(t)
			b.serves(t, "unknown.abc.com", "", catchall)
			b.serves(t, "b.abc.com", "", b.b1)
			b.unregister(t, "b.abc.com")
			says(t, b.hapsync(t, "plan").stdout, "reload ", "b.abc.com", "catchall")
			b.must(t, "sync")
			b.serves(t, "b.abc.com", "", catchall)
			b.inLine(t)

			b.register(t, "b.abc.com/server1", b.b1.addr)
			a := b.startAgent(t)
			a.ready(t)
			b.comes(t, "b.abc.com", "", b.b1)
			b.unregister(t, "b.abc.com")
			b.comes(t, "b.abc.com", "", catchall)
			b.settles(t)
		}
	})
}
