package e2e

import (
	"net"
	"net/http"
	"strings"
	"testing"
)

// startSilent is a host that takes connections and never answers.
func startSilent(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	return listener.Addr().String()
}

// answers fails the test unless a domain answers with a status.
func (b *box) answers(t *testing.T, domain string, status int) {
	t.Helper()
	if a := b.ask(t, domain, ""); a.status != status {
		t.Errorf("%s: got %s, want %d", domain, a, status)
	}
}

func TestADomainHasTheTimeoutTheRedirectAndTheMaintenanceOfItsKeys(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		one := startHost(t, "server1")
		b.register(t, "a.abc.com/server1", one.addr)
		b.register(t, "b.abc.com/server1", startSilent(t))
		b.put(t, "b.abc.com/timeout-server", "1s")
		b.put(t, "c.abc.com/server1", one.addr)
		b.put(t, "c.abc.com/redirect-https", "true")
		b.put(t, "d.abc.com/server1", one.addr)
		b.put(t, "d.abc.com/maintenance", "true")
		reloads(t, b.step(t), 1)
		b.serves(t, "a.abc.com", "", one)
		b.answers(t, "b.abc.com", http.StatusGatewayTimeout)
		b.answers(t, "c.abc.com", http.StatusMovedPermanently)
		b.answers(t, "d.abc.com", http.StatusServiceUnavailable)
		listed := b.must(t, "list").stdout
		says(t, listed, "b.abc.com", "timeout-server 1s")
		says(t, listed, "c.abc.com", "redirect-https")
		says(t, listed, "d.abc.com", "maintenance")
		says(t, b.exits(t, 7, "explain", "d.abc.com/server1").stdout, "not in rotation", "the domain is in maintenance")

		b.put(t, "d.abc.com/maintenance", "false")
		b.etcdctl(t, "del", b.prefix+"/c.abc.com/redirect-https")
		b.must(t, "sync")
		b.serves(t, "c.abc.com", "", one)
		b.serves(t, "d.abc.com", "", one)

		mark := "    timeout server 1s # hapsync\n"
		b.write(t, b.managedFile, strings.Replace(read(t, b.managedFile), mark, "    timeout server 5m\n", 1))
		b.must(t, "sync")
		says(t, b.must(t, "plan").stdout, "problem ", "/b.abc.com/timeout-server", "your own words")
		if text := read(t, b.managedFile); strings.Contains(text, mark) || strings.Count(text, "timeout server 5m\n") != 1 {
			t.Errorf("an operator's own line did not win:\n%s", text)
		}
		b.inLineBeside(t)
	})
}

// inLineBeside fails the test unless there is nothing to do, whatever problems are named.
func (b *box) inLineBeside(t *testing.T) {
	t.Helper()
	if o := b.hapsync(t, "plan", "--detailed-exitcode"); o.code != 0 {
		t.Errorf("not in line: %s", o)
	}
}
