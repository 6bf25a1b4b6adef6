package netns

import "testing"

// TestHapsyncAndEtcdAreRestartedOneByOneWithoutAFailedRequest does what an upgrade of them takes.
func TestHapsyncAndEtcdAreRestartedOneByOneWithoutAFailedRequest(t *testing.T) {
	t.Parallel() // for the most part it waits for etcd
	s := startServed(t, usualHAProxy(t), 1)
	lb := s.balancers[0]
	l := startLoad(t, s.client, lb, domainA, domainB)
	guests := startGuests(t, s)
	leases := s.leases(t)

	for i, m := range s.etcd.members {
		m.Terminate(t)
		s.etcd.put(t, domainB+"/moving", s.web[i].ip)
		s.comes(t, lb, domainB, "moving", s.web[i])
		m.start(t, "existing", s.etcd.members)
		s.etcd.healthy(t)
		guests.goOn(t)
		lb.ready(t)
	}
	if now := s.leases(t); now != leases {
		t.Errorf("the registered hosts were\n%s\nand are now\n%s", leases, now)
	}
	lb.agent.Terminate(t)
	s.etcd.put(t, domainB+"/moving", s.web[3].ip)
	l.GoesOn(t)
	lb.startAgent(t)
	s.comes(t, lb, domainB, "moving", s.web[3])
	lb.ready(t)
	guests.end()
	lb.settles(t)
	l.EndsLosing(t, 0)
}
