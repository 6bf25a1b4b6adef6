package netns

import "testing"

func TestALeaderThatIsKilledIsMissedByNobody(t *testing.T) {
	s := startServed(t, usualHAProxy(t), 1)
	lb := s.balancers[0]
	l := startLoad(t, s.client, lb, domainA, domainB)
	guests := startGuests(t, s)
	hosts := s.leases(t)

	for i := range 2 {
		leader := s.etcd.leader(t, s.etcd.members...)
		leader.Kill(t)
		t.Logf("%s, the leader, is killed", leader.name)
		s.etcd.leader(t, s.etcd.others(leader)...)
		moved := s.web[3-i]
		s.etcd.put(t, domainA+"/moving", moved.ip)
		s.comes(t, lb, domainA, "moving", moved)
		lb.ready(t)

		leader.start(t, "existing", s.etcd.members)
		s.etcd.healthy(t)
		s.etcd.agree(t)
		guests.goOn(t)
	}
	guests.end()
	t.Logf("%d guests have come and gone, %d could not take their keys back", guests.left.Load(), guests.cut.Load())
	lb.settles(t)
	if now := s.leases(t); now != hosts {
		t.Errorf("the registered hosts were\n%s\nand are now\n%s", hosts, now)
	}
	l.EndsLosing(t, 0)
}
