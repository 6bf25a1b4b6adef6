package e2e

import (
	"strings"
	"testing"
)

// TestAFrontendThatIsNoLongerNamedIsNotForgotten leaves out the second of two frontends, whose rules stay.
func TestAFrontendThatIsNoLongerNamedIsNotForgotten(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		one := startHost(t, "one")
		b.write(t, b.managedFile, b.frontendLines()+"\nfrontend second\n    bind "+freeAddr(t)+"\n")
		b.startWith(t, b.baseFile, b.managedFile)
		b.register(t, "a.abc.com/server1", one.addr)
		const warning, left = "warning ", "frontend second still has hapsync's rules"
		if o := b.must(t, "sync", "--frontend", "webin,second"); strings.Contains(o.stdout, left) {
			t.Errorf("a frontend that is named is warned of: %s", o)
		}
		for _, command := range []string{"plan", "sync"} {
			says(t, b.must(t, command).stdout, warning, left, b.managedFile+":", "name it in --frontend, or delete them")
		}
		says(t, b.hapsync(t, "check").stdout, "warn ", left)
	})
}
