package netns

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// httpClient is one on the machine.
func (m *machine) httpClient(addr string) *harness.Client {
	return &harness.Client{Dial: func() (net.Conn, error) { return m.dial(context.Background(), "tcp", addr) }}
}

// get makes one request from a machine to port 80 of an address, over a connection of its own.
func get(from *machine, ip, domain, server string) (harness.Answer, error) {
	return from.httpClient(net.JoinHostPort(ip, "80")).Get(domain, server, "close")
}

// startLoad asks domains of a balancer steadily. Half of the clients have the cookie that they were given.
func startLoad(t *testing.T, from *machine, to *balancer, domains ...string) *harness.Load {
	t.Helper()
	l := &harness.Load{
		Client:  func() *harness.Client { return from.httpClient(net.JoinHostPort(to.ip, "80")) },
		Domains: domains, Clients: 4, Pause: 20 * time.Millisecond, Sticky: true,
	}
	return l.Start(t)
}
