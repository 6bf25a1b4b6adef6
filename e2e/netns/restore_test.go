package netns

import (
	"os"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

func TestAClusterThatIsRestoredAsItWasIsTakenByItself(t *testing.T) {
	s := startServed(t, usualHAProxy(t), 1)
	s.etcd.put(t, domainB+"/server2", s.web[3].ip)
	lb := s.balancers[0]
	s.comes(t, lb, domainB, "server2", s.web[3])
	lb.settles(t)
	l := startLoad(t, s.client, lb, domainA, domainB)

	snapshot := s.etcd.save(t)
	file := lb.file(t)
	s.loseEtcd(t, snapshot)
	lb.ready(t)
	lb.settles(t)
	if now := lb.file(t); now != file {
		t.Errorf("the file was\n%s\nand is now\n%s", file, now)
	}
	s.etcd.put(t, domainA+"/late", s.web[3].ip)
	s.comes(t, lb, domainA, "late", s.web[3])
	l.EndsLosing(t, 0)
}

func TestAClusterThatIsRestoredFromAnOldSnapshotIsHeldUntilItIsConfirmed(t *testing.T) {
	s := startServed(t, usualHAProxy(t), 1)
	s.etcd.put(t, domainB+"/server2", s.web[3].ip)
	lb := s.balancers[0]
	snapshot := s.etcd.save(t)
	s.etcd.put(t, domainA+"/late", s.web[3].ip)
	s.etcd.remove(t, domainB+"/server2")
	s.comes(t, lb, domainA, "late", s.web[3])
	lb.settles(t)
	file := lb.file(t)
	l := startLoad(t, s.client, lb, domainA, domainB)

	s.loseEtcd(t, snapshot)
	lb.unready(t, 5, "another cluster")
	t.Logf("lb1 says: %v", lb.readyz())
	l.GoesOn(t)
	if now := lb.file(t); now != file {
		t.Errorf("the file was\n%s\nand is now\n%s", file, now)
	}
	if a, err := get(s.client, lb.ip, domainA, "late"); err != nil || a.Body != s.web[3].name {
		t.Errorf("what is held does not serve on: %s, %v", a, err)
	}
	if o := lb.must(t, "plan"); !strings.Contains(o.stdout, "- server a.abc.com_cluster/late") {
		t.Errorf("the plan does not show what would be removed: %s", o)
	}

	lb.must(t, "sync", "--allow-mass-removal")
	lb.ready(t)
	lb.settles(t)
	s.comes(t, lb, domainA, "server1", s.web[0])
	s.comes(t, lb, domainB, "server2", s.web[3])
	s.etcd.put(t, domainA+"/late", s.web[3].ip)
	s.comes(t, lb, domainA, "late", s.web[3])
	l.EndsLosing(t, 0)
}

// loseEtcd ends all members at once, restores them from a snapshot when the agent has said so, and returns when they answer.
// They have the same names and addresses, and are another cluster.
func (s *site) loseEtcd(t *testing.T, snapshot string) {
	t.Helper()
	was := s.etcd.cluster(t)
	for _, m := range s.etcd.members {
		m.Kill(t)
	}
	for _, b := range s.balancers {
		b.unready(t, 3, "registry")
	}
	for _, m := range s.etcd.members {
		m.restore(t, s.etcd, snapshot)
		m.start(t, "existing", s.etcd.members)
	}
	s.etcd.healthy(t)
	if now := s.etcd.cluster(t); now == was {
		t.Errorf("the restored cluster has the id of the lost one: %x", now)
	}
}

// save writes a snapshot of a member and returns the directory that it is in.
func (e *etcd) save(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := e.follow(t, e.members[0], dir, "ETCDCTL_ENDPOINTS=http://10.0.0.12:2379 etcdctl snapshot save hapsync.snapshot"); err != nil {
		t.Fatal(out, err)
	}
	return dir
}

// restore makes a snapshot the member's data. A token of its own makes it another cluster.
func (m *member) restore(t *testing.T, e *etcd, dir string) {
	t.Helper()
	if err := os.RemoveAll(m.dir); err != nil {
		t.Fatal(err)
	}
	_, err := e.follow(t, m, dir, `etcdutl snapshot restore hapsync.snapshot --name etcd2 --data-dir /var/lib/etcd/hapsync
		--initial-advertise-peer-urls http://10.0.0.12:2380
		--initial-cluster etcd1=http://10.0.0.11:2380,etcd2=http://10.0.0.12:2380,etcd3=http://10.0.0.13:2380
		--initial-cluster-token restored`)
	if err != nil {
		t.Fatal(err)
	}
}

// cluster is the id of the cluster.
func (e *etcd) cluster(t *testing.T) uint64 {
	t.Helper()
	var id uint64
	harness.Eventually(t, e.members[0].name+" tells its cluster", func() error {
		status, err := e.status(t, e.members[0])
		if err == nil {
			id = status.Header.ClusterId
		}
		return err
	})
	return id
}
