package e2e

import (
	"cmp"
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

// TestTheNameOfASectionMayHaveQuotes has an operator's way to write the names of a managed frontend and backend.
func TestTheNameOfASectionMayHaveQuotes(t *testing.T) {
	t.Parallel()
	for name, s := range someOf(map[string]struct{ frontend, backend string }{
		"a frontend in quotes":        {`"webin"`, ""},
		"a frontend in single quotes": {`'webin'`, ""},
		"a frontend with an escape":   {`web\x69n`, ""},
		"a frontend with a variable":  {`"web${SHOP}"`, ""},
		"a backend in quotes":         {"", `"b.abc.com_cluster"`},
		"a backend in single quotes":  {"", `'b.abc.com_cluster'`},
		"a backend partly in quotes":  {"", `b.abc."com"_cluster`},
		"a backend with a variable":   {"", `"${NONE-b}.abc.com_cluster"`},
		"both":                        {`"webin"`, `"b.abc.com_cluster"`},
	}) {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				one, two := startHost(t, "one"), startHost(t, "two")
				b.write(t, b.baseFile, strings.Replace(read(t, b.baseFile), "global\n", "global\n    setenv SHOP in\n", 1))
				text := b.frontendLines("b.abc.com") + domainLines("b.abc.com", serverLine("server1", one.addr))
				heads := []string{"frontend " + cmp.Or(s.frontend, "webin") + "\n", "backend " + cmp.Or(s.backend, "b.abc.com_cluster") + "\n"}
				text = strings.NewReplacer("frontend webin\n", heads[0], "backend b.abc.com_cluster\n", heads[1]).Replace(text)
				b.write(t, b.managedFile, text)
				b.startWith(t, b.baseFile, b.managedFile)
				b.register(t, "b.abc.com/server1", one.addr)
				b.inLine(t)

				b.register(t, "b.abc.com/server1", two.addr)
				b.register(t, "b.abc.com/server2", one.addr)
				b.register(t, "c.abc.com/server1", one.addr)
				b.must(t, "sync")
				b.serves(t, "b.abc.com", "server1", two)
				b.serves(t, "c.abc.com", "", one)
				b.inLine(t)
				for _, head := range heads {
					if text := read(t, b.managedFile); !strings.Contains(text, head) {
						t.Errorf("%q is gone:\n%s", head, text)
					}
				}

				b.put(t, "b.abc.com/balance", "leastconn")
				b.delete(t, "c.abc.com/")
				b.must(t, "sync", "--allow-mass-removal")
				b.inLine(t)
				b.unknown(t, "c.abc.com")
				b.master.terminate(t)
				b.startWith(t, b.baseFile, b.managedFile)
				b.serves(t, "b.abc.com", "server1", two)
				b.serves(t, "b.abc.com", "server2", one)
				b.inLine(t)

				b.delete(t, "b.abc.com/")
				b.register(t, "c.abc.com/server1", one.addr)
				b.must(t, "sync", "--allow-mass-removal")
				b.inLine(t)
				b.unknown(t, "b.abc.com")
				b.serves(t, "c.abc.com", "", one)
			})
		})
	}
}
