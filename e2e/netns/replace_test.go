package netns

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// TestEachMemberIsReplacedWhileHostsComeAndGo forms the cluster one member after the other, and replaces each by one with
// no data.
func TestEachMemberIsReplacedWhileHostsComeAndGo(t *testing.T) {
	t.Parallel() // for the most part it waits for etcd
	s := startSite(t, usualHAProxy(t), 1)
	lb, members := s.balancers[0], s.etcd.members
	members[0].start(t, "new", members[:1])
	for i, m := range members[1:] {
		s.etcd.join(t, m, members[:i+1])
	}
	s.register(t)
	leases := s.leases(t)
	l := startLoad(t, s.client, lb, domainA, domainB)
	guests := startGuests(t, s)

	for i, m := range members {
		if i == 1 {
			m.Kill(t) // one is lost first, the others are told to leave
		}
		s.etcd.leave(t, m)
		at := s.web[i]
		s.etcd.put(t, domainA+"/moving", at.ip)
		s.comes(t, lb, domainA, "moving", at)
		s.etcd.join(t, m, s.etcd.others(m))
		s.etcd.healthy(t)
		s.etcd.agree(t)
		guests.goOn(t)
		lb.ready(t)
		t.Logf("%s is replaced", m.name)
	}
	guests.end()
	lb.settles(t)
	if now := s.leases(t); now != leases {
		t.Errorf("the registered hosts were\n%s\nand are now\n%s", leases, now)
	}
	l.EndsLosing(t, 0)
}

// join announces a member to those that there are, and starts it with no data.
func (e *etcd) join(t *testing.T, m *member, cluster []*member) {
	t.Helper()
	if err := os.RemoveAll(m.dir); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, m.name+" may join", func() error { // not before the others have known each other for a while
		_, err := e.follow(t, m, "", "etcdctl member add etcd2 --peer-urls http://10.0.0.12:2380")
		return e.unless(t, err, func(list string) bool { return strings.Contains(list, m.peer()) })
	})
	m.start(t, "existing", append(cluster[:len(cluster):len(cluster)], m))
	m.Eventually(t, m.name+" is healthy", func() error {
		_, err := e.try(t, m, "endpoint", "health")
		return err
	})
}

// leave removes a member for good, which ends by itself where it runs.
func (e *etcd) leave(t *testing.T, m *member) {
	t.Helper()
	harness.Eventually(t, m.name+" may leave", func() error {
		_, err := e.follow(t, m, "", `etcdctl member remove $(etcdctl member list | grep 'started, etcd2' | cut -d, -f1)`)
		return e.unless(t, err, func(list string) bool { return !strings.Contains(list, m.peer()) })
	})
	harness.Eventually(t, m.name+" has ended", func() error {
		if m.Running() == nil {
			return errors.New("it runs")
		}
		return nil
	})
}

// unless is the error of a change of members, or nil where the list of members says that it is done: the member that
// was asked may have left before it could answer.
func (e *etcd) unless(t *testing.T, err error, done func(list string) bool) error {
	t.Helper()
	if err == nil {
		return nil
	}
	for _, m := range e.members {
		if list, failed := e.try(t, m, "member", "list"); failed == nil && done(list) {
			return nil
		}
	}
	return err
}
