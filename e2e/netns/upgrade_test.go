package netns

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// TestHAProxyIsUpgradedUnderTheSameAgent goes through the versions as a package does: the program is replaced, then
// reloaded. The master executes itself, which is the new version, and passes the listeners on.
func TestHAProxyIsUpgradedUnderTheSameAgent(t *testing.T) {
	all := severalHAProxy(t)
	s := startServed(t, all[0], 1)
	lb := s.balancers[0]
	l := startLoad(t, s.client, lb, domainA, domainB)

	have := all[0]
	for i, next := range slices.Concat(all[1:], all[:1]) { // and back at last
		lb.upgrade(t, next)
		lb.ready(t)
		lb.reports(t, next)
		before := lb.pid(t)
		s.etcd.put(t, domainA+"/moving", s.web[i%2].ip)
		s.etcd.put(t, fmt.Sprintf("%s/new%d", domainB, i), s.web[3].ip)
		s.comes(t, lb, domainB, fmt.Sprintf("new%d", i), s.web[3])
		s.comes(t, lb, domainA, "moving", s.web[i%2])
		lb.settles(t)
		if now := lb.pid(t); next.Version >= 300 && now != before {
			t.Errorf("HAProxy %s takes new servers without a reload, and was reloaded", next)
		}
		l.GoesOn(t)
		t.Logf("HAProxy %s -> %s: %d requests lost so far", have, next, len(l.Failed()))
		have = next
	}
	l.EndsLosing(t, 0)
	if l.Moved() > 0 {
		t.Errorf("%d clients had to change their server", l.Moved())
	}
}

// severalHAProxy are the binaries, the oldest first.
func severalHAProxy(t *testing.T) []harness.HAProxy {
	t.Helper()
	needsRoot(t)
	all := allHAProxy(t)
	if len(all) < 2 {
		say := t.Skipf
		if os.Getenv("CI") == "true" {
			say = t.Fatalf
		}
		say("an upgrade takes two versions, and HAPROXY_BINARIES has %v alone", all)
	}
	return all
}

// upgrade replaces the program and reloads HAProxy, as systemctl reload haproxy does.
func (b *balancer) upgrade(t *testing.T, h harness.HAProxy) {
	t.Helper()
	b.install(t, h)
	if err := b.master.Cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	b.master.Eventually(t, "HAProxy "+h.String()+" answers", func() error {
		version, err := b.info("Version")
		if err == nil && !strings.HasPrefix(version, h.String()+".") {
			err = fmt.Errorf("version %s", version)
		}
		return err
	})
}

// reports waits until hapsync agents shows the version.
func (b *balancer) reports(t *testing.T, h harness.HAProxy) {
	t.Helper()
	harness.Eventually(t, "the agent reports HAProxy "+h.String(), func() error {
		if o := b.must(t, "agents"); !strings.Contains(o.stdout, " "+h.String()+" ") {
			return fmt.Errorf("%s", o)
		}
		return nil
	})
}

func (b *balancer) pid(t *testing.T) int {
	t.Helper()
	pid, err := b.worker()
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
