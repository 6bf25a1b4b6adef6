package e2e

import (
	"strings"
	"testing"
)

// TestWordsThatNoCommandMayHaveStopNothing has an operator's quoted words behind one server: its address changes by a command, which
// needs none of them, and a server that needs them comes by a reload; no other domain waits for that.
func TestWordsThatNoCommandMayHaveStopNothing(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		operator(t, b.managedFile, "server server1 "+b.a1.addr+" cookie server1", "server server1 "+b.a1.addr+" cookie server1 sni str(\"a.lan\")")
		b.reload(t)
		other, c := startHost(t, "other"), startHost(t, "c.abc.com")
		b.register(t, "a.abc.com/server1", other.addr)
		b.register(t, "b.abc.com/server1", other.addr)
		b.register(t, "c.abc.com/server1", c.addr)
		b.must(t, "sync")
		b.serves(t, "a.abc.com", "server1", other)
		b.serves(t, "b.abc.com", "server1", other)
		b.serves(t, "c.abc.com", "", c)
		if text := read(t, b.managedFile); !strings.Contains(text, "sni str(\"a.lan\")") {
			t.Errorf("the words are gone:\n%s", text)
		}
		b.inLine(t)
	})
}
