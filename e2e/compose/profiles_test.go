package compose

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// address is that of a web server in docker-compose.yml.
func (s *stack) address(web string) string {
	return network + ".1" + strings.TrimPrefix(web, "web")
}

func (s *stack) balancers(t *testing.T) {
	s.bring(t, "two-balancers")
	harness.Eventually(t, "the second balancer serves both domains", func() error {
		if err := serves(s.web2, domainA, "web1", "web2"); err != nil {
			return err
		}
		return serves(s.web2, domainB, "web3")
	})
	for range 4 {
		first := s.asks(t, domainA, "")
		second, err := ask(s.web2, domainA, first.Cookie)
		if err != nil || second.Body != first.Body {
			t.Errorf("the cookie %s of the first balancer leads to %s on the second: %v", first.Cookie, second, err)
		}
	}
	harness.Eventually(t, "the second agent is ready", func() error { return page(s.agent2 + "/readyz") })
	s.rights(t)
	s.run(t, "rm", "-s", "-f", "haproxy2", "agent2", "init2")
}

func (s *stack) cluster(t *testing.T) {
	l := startLoad(t, s.web)
	s.bring(t, "cluster")
	l.EndsLosing(t, 0)
	for _, member := range []string{"etcd2", "etcd3"} {
		harness.Eventually(t, member+" is a member", func() error {
			_, err := s.try("exec", "-T", member, "etcdctl", "endpoint", "health")
			return err
		})
	}
	list := s.etcdctl(t, "etcd", "member", "list")
	if strings.Count(list, " started,") != 3 {
		t.Errorf("members:\n%s", list)
	}
	s.etcdctl(t, "etcd", "put", "/greeting", "hello")
	for _, member := range []string{"etcd", "etcd2", "etcd3"} {
		if got := s.etcdctl(t, member, "get", "--print-value-only", "/greeting"); got != "hello" {
			t.Errorf("%s says %q", member, got)
		}
	}
	// The agent knows all three: it follows the others while the first is away.
	s.run(t, "kill", "etcd")
	harness.Eventually(t, "two of three take a key", func() error {
		_, err := s.try("exec", "-T", "etcd2", "etcdctl", "put", "/services/web/d.abc.com/server1/ip", s.address("web3"))
		return err
	})
	s.etcdctl(t, "etcd3", "put", "/services/web/d.abc.com/server1/port", "8080")
	harness.Eventually(t, "the agent follows the other two", func() error { return serves(s.web, "d.abc.com", "web3") })
	if err := serves(s.web, domainA, "web1", "web2"); err != nil {
		t.Error(fmt.Errorf("registrations without the first member: %w", err))
	}
	s.run(t, "start", "etcd")
	s.healthy(t)
}
