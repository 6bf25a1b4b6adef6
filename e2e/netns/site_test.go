package netns

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// A site is the network of a test: three members of etcd, balancers, web servers, and a client.
type site struct {
	etcd      *etcd
	balancers []*balancer
	web       []*web
	client    *machine
}

const (
	domainA = "a.abc.com" // server1 on web1, server2 on web2
	domainB = "b.abc.com" // server1 on web3
)

// startSite starts all but etcd and the agents.
func startSite(t *testing.T, h harness.HAProxy, balancers int) *site {
	t.Helper()
	needsRoot(t)
	n := newNetwork(t)
	s := &site{client: n.machine(t, "client", 100)}
	s.etcd = newEtcd(t, n, s.client)
	for i := range balancers {
		s.balancers = append(s.balancers, newBalancer(t, n, s.etcd, h, i+1))
	}
	for i := range 4 {
		s.web = append(s.web, newWeb(t, n, fmt.Sprintf("web%d", i+1), i+1))
	}
	return s
}

// startServed starts a site whose cluster is formed at once, and all of it.
func startServed(t *testing.T, h harness.HAProxy, balancers int) *site {
	t.Helper()
	s := startSite(t, h, balancers)
	s.etcd.form(t)
	s.register(t)
	return s
}

// register has the web servers register themselves, starts the agents, and waits until all balancers serve them.
func (s *site) register(t *testing.T) {
	t.Helper()
	s.web[0].register(t, s.etcd, domainA, "server1")
	s.web[1].register(t, s.etcd, domainA, "server2")
	s.web[2].register(t, s.etcd, domainB, "server1")
	for _, b := range s.balancers {
		b.startAgent(t)
		s.comes(t, b, domainA, "server1", s.web[0])
		s.comes(t, b, domainA, "server2", s.web[1])
		s.comes(t, b, domainB, "server1", s.web[2])
		b.ready(t)
	}
}

// comes waits until a balancer has the web server answer requests with the cookie of a server.
func (s *site) comes(t *testing.T, b *balancer, domain, server string, w *web) {
	t.Helper()
	took := harness.Eventually(t, fmt.Sprintf("%s: %s with cookie %q is served by %s", b.name, domain, server, w.name), func() error {
		a, err := get(s.client, b.ip, domain, server)
		if err == nil && (a.Status != http.StatusOK || a.Body != w.name) {
			err = fmt.Errorf("got %s", a)
		}
		return err
	})
	t.Logf("%s: %s/%s after %s", b.name, domain, server, took.Round(time.Millisecond))
}

// leases are the hosts that have been registered from the start, with their leases, when all members know the same.
func (s *site) leases(t *testing.T) string {
	t.Helper()
	s.etcd.agree(t)
	var kept strings.Builder
	for line := range strings.Lines(s.etcd.hosts(t)) {
		if strings.Contains(line, "/server") {
			kept.WriteString(line)
		}
	}
	if n := strings.Count(kept.String(), "\n"); n != 3 {
		t.Errorf("%d hosts are registered, want 3:\n%s", n, kept.String())
	}
	return kept.String()
}

// identical fails the test unless the managed files of all balancers are the same, byte for byte.
func (s *site) identical(t *testing.T) {
	t.Helper()
	want := s.balancers[0].file(t)
	for _, b := range s.balancers[1:] {
		if have := b.file(t); have != want {
			t.Errorf("the managed file of %s is\n%s\nand that of %s\n%s", b.name, have, s.balancers[0].name, want)
		}
	}
}
