package e2e

import (
	"errors"
	"strings"
	"testing"
)

// TestWordsThatAllServersShareHoldForThoseThatCome has words behind every server of a file that another tool has written.
func TestWordsThatAllServersShareHoldForThoseThatCome(t *testing.T) {
	t.Parallel()
	const secure = "ssl verify none inter 300ms"
	for name, c := range map[string]struct{ one, two string }{
		"the same behind each":            {secure, secure},
		"with ids":                        {"id 71 " + secure, secure + " id 72"},
		"with what HAProxy takes no live": {secure + " sni str(\"x.lan\")", secure + " sni str(\"x.lan\")"},
		"behind the only one":             {secure, ""},
	} {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				addrs := map[string]string{"server1": secureHost(t, "server1"), "server2": secureHost(t, "server2"), "server3": secureHost(t, "server3")}
				servers := []string{serverLine("server1", addrs["server1"]) + " " + c.one}
				b.register(t, "a.abc.com/server1", addrs["server1"])
				if c.two != "" {
					servers = append(servers, serverLine("server2", addrs["server2"])+" "+c.two)
					b.register(t, "a.abc.com/server2", addrs["server2"])
				}
				text := b.frontendLines("a.abc.com") + domainLines("a.abc.com", servers...)
				b.write(t, b.managedFile, text)
				b.startWith(t, b.baseFile, b.managedFile)
				b.inLine(t)
				says(t, b.must(t, "check").stdout, "warn words: ", "a.abc.com_cluster", "default-server")

				before := b.generation(t)
				if c.two != "" {
					b.unregister(t, "a.abc.com/server2")
					b.must(t, "sync")
				}
				b.register(t, "a.abc.com/server2", addrs["server2"])
				b.register(t, "a.abc.com/server3", addrs["server3"])
				b.must(t, "sync")
				b.inLine(t)
				if c.one == secure {
					b.takesServers(t, before)
				}
				for server := range addrs {
					eventually(t, server+" answers over TLS", func() error {
						a, err := get(b.web, "a.abc.com", server)
						if err == nil && a.body != server {
							err = errors.New(a.String())
						}
						return err
					})
					if got := b.line(t, server); !strings.Contains(got, secure) {
						t.Errorf("the file has %q for %s", got, server)
					}
				}
				b.reload(t)
				b.inLine(t)

				b.addsByAgent(t, addrs["server3"])

				b.register(t, "b.abc.com/server1", addrs["server1"])
				says(t, b.must(t, "plan").stdout, "warning ", "backend b.abc.com_cluster gets no", "default-server")
				b.unregister(t, "b.abc.com")
				b.unregister(t, "a.abc.com")
				b.register(t, "c.abc.com/server1", addrs["server1"])
				says(t, b.must(t, "plan", "--allow-mass-removal").stdout, "warning ", "goes with the last server of backend a.abc.com_cluster")
			})
		})
	}
}

// addsByAgent has an agent add server4, which costs no more reloads than it has to.
func (b *box) addsByAgent(t *testing.T, addr string) {
	t.Helper()
	a := b.startAgent(t)
	a.ready(t)
	before := b.generation(t)
	b.txn(t, addrOf(t, "a.abc.com/server4", addr))
	b.settles(t)
	if b.line(t, "server1") == "check ssl verify none inter 300ms" {
		b.takesServers(t, before)
	}
	if got := b.ask(t, "a.abc.com", "server4"); got.body != "server3" {
		t.Errorf("got %s", got)
	}
	a.terminate(t)
}

// TestWordsThatAreNotTheSameForEachAreNamedBeforeOneIsMissed has words that only some servers have, or that name their server.
func TestWordsThatAreNotTheSameForEachAreNamedBeforeOneIsMissed(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		for _, words := range [][]string{{"inter 300ms", ""}, {"inter 300ms", "inter 400ms"}, {"sni str(server1.lan)"}, {"addr 127.0.0.1"}} {
			b := newBeside(t, h)
			one := startHost(t, "one")
			var servers []string
			for i, w := range words {
				name := []string{"server1", "server2"}[i]
				servers = append(servers, serverLine(name, one.addr)+" "+w)
				b.register(t, "a.abc.com/"+name, one.addr)
			}
			b.write(t, b.managedFile, b.frontendLines("a.abc.com")+domainLines("a.abc.com", servers...))
			b.startWith(t, b.baseFile, b.managedFile)
			b.inLine(t)
			says(t, b.must(t, "check").stdout, "warn words: not the same", "a.abc.com_cluster", "default-server")
			b.register(t, "a.abc.com/server3", one.addr)
			says(t, b.must(t, "plan").stdout, "warning ", "server a.abc.com_cluster/server3 gets none of the words", "default-server")
			b.must(t, "sync")
			b.inLine(t)
			if got := b.line(t, "server3"); got != "check" {
				t.Errorf("the file has %q", got)
			}
		}
	})
}
