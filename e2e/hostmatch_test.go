package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// refusesPort fails the test unless a domain is served, and unknown with a port.
func (b *box) refusesPort(t *testing.T, domain string, h *host) {
	t.Helper()
	b.serves(t, domain, "", h)
	if a := b.ask(t, domain+":8080", ""); a.status != http.StatusServiceUnavailable {
		t.Errorf("%s:8080: got %s", domain, a)
	}
}

func TestAHostWithAPortReachesItsDomainInANewFile(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		for _, with := range []string{"", ":80", ":8080", ":65535"} {
			b.serves(t, "b.abc.com"+with, "", b.b1)
			b.serves(t, "B.ABC.com"+with, "", b.b1)
		}
		for _, other := range []string{"b.abc.com.", "xb.abc.com:80", "abc.com:80", "b.abc.com.evil:80"} {
			b.unknown(t, other)
		}
		says(t, b.must(t, "explain", "b.abc.com/server1").stdout, "reached", "b.abc.com with any port, in frontend webin")
		b.must(t, "sync", "--host-match", "exact")
		b.refusesPort(t, "b.abc.com", b.b1)
		b.inLine(t)
	})
}

func TestAFileOfExactHostsStaysSoUnlessItIsAskedFor(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		one := startHost(t, "one")
		b.register(t, "a.abc.com/server1", one.addr)
		b.write(t, b.managedFile, b.frontendLines("a.abc.com")+domainLines("a.abc.com", serverLine("server1", one.addr)))
		b.startWith(t, b.baseFile, b.managedFile)
		b.inLine(t)
		b.register(t, "b.abc.com/server1", one.addr)
		b.must(t, "sync")
		b.refusesPort(t, "a.abc.com", one)
		b.refusesPort(t, "b.abc.com", one)
		says(t, b.must(t, "explain", "b.abc.com/server1").stdout, "reached", "b.abc.com without a port")

		said := b.step(t, "--host-match", "any-port")
		says(t, said, "~ use_backend rule in webin of a.abc.com without a port -> a.abc.com with any port")
		reloads(t, said, 1)
		b.serves(t, "a.abc.com:8080", "", one)
		b.serves(t, "b.abc.com:8080", "", one)
		b.inLine(t)
		if text := read(t, b.managedFile); strings.Contains(text, "hdr(host) ") {
			t.Errorf("the file has\n%s", text)
		}
	})
}
