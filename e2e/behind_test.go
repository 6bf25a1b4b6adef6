package e2e

import (
	"strings"
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

// TestADefaultBackendOfTheDefaultsCounts has the default_backend in the defaults that the frontend takes.
func TestADefaultBackendOfTheDefaultsCounts(t *testing.T) {
	t.Parallel()
	const more = "    timeout connect 1s\n    timeout client 9s\n    timeout server 9s\n"
	for name, c := range map[string]struct {
		defaults, from string
		behind         bool
	}{
		"the last ones":       {"    default_backend catchall\n", "", true},
		"named":               {"defaults shop\n    mode http\n    default_backend catchall\n" + more + "defaults other\n    mode http\n" + more, " from shop", true},
		"from others by name": {"defaults shop\n    mode http\n    default_backend catchall\n" + more + "defaults web from shop\n", " from web", true},
		"of other proxies":    {"    default_backend catchall\ndefaults other\n    mode http\n" + more, "", false},
		"not read: .if":       {"    .if version_atleast(99.0)\n    default_backend catchall\n    .endif\n", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				one, two, catchall := startHost(t, "one"), startHost(t, "two"), startHost(t, "catchall")
				b.write(t, b.baseFile, read(t, b.baseFile)+c.defaults+"backend catchall\n    server c "+catchall.addr+"\n")
				b.write(t, b.managedFile, strings.Replace(b.frontendLines(), "frontend webin", "frontend webin"+c.from, 1))
				b.startWith(t, b.baseFile, b.managedFile)
				b.register(t, "a.abc.com/server1", one.addr)
				b.register(t, "b.abc.com/server1", two.addr)
				b.must(t, "sync")
				b.serves(t, "b.abc.com", "", two)
				b.unregister(t, "b.abc.com")
				plan := b.hapsync(t, "plan").stdout
				b.must(t, "sync")
				b.inLine(t)
				if c.behind {
					says(t, plan, "reload ", "b.abc.com", "default_backend catchall")
					b.serves(t, "b.abc.com", "", catchall)
					return
				}
				reloads(t, plan, 0)
				b.unknown(t, "b.abc.com")
			})
		})
	}
}
