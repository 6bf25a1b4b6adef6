package e2e

import (
	"strings"
	"syscall"
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

func TestAHalfWrittenLineHangsNothing(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"weight", "maxconn", "init-addr", "inter", "proto(x)"} { // HAProxy accepts some of these
		t.Run(words, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b, a := startFollowed(t, h)
				b.settles(t)
				operator(t, b.managedFile, "cookie server1 check\n", "cookie server1 check "+words+"\n")
				a.signal(t, syscall.SIGHUP)
				moved := startHost(t, "moved")
				b.txn(t, addrOf(t, "b.abc.com/server1", moved.addr))
				b.comes(t, "b.abc.com", "server1", moved)
				b.hapsync(t, "plan") // whatever it says, it ends
				operator(t, b.managedFile, "check "+words+"\n", "check\n")
				a.signal(t, syscall.SIGHUP)
				b.settles(t)
				a.ready(t)
				a.terminate(t)
			})
		})
	}
}
