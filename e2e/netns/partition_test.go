package netns

import (
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// TestAMinorityServesOnAndCatchesUp cuts etcd3 off from the other members and from the web servers as its clients, and with
// it lb1, whose agent knows all members, and lb3, whose agent knows etcd3 alone. Their HAProxy still reaches the web servers.
func TestAMinorityServesOnAndCatchesUp(t *testing.T) {
	s := startServed(t, usualHAProxy(t), 3)
	alone, others := s.etcd.members[2], []*machine{s.etcd.members[0].machine, s.etcd.members[1].machine}
	minority, majority := []*balancer{s.balancers[0], s.balancers[2]}, s.balancers[1]
	minority[1].follows(t, alone)
	s.etcd.put(t, domainB+"/leaving", s.web[0].ip)
	var loads []*harness.Load
	for _, b := range s.balancers {
		s.comes(t, b, domainB, "leaving", s.web[0])
		b.settles(t)
		loads = append(loads, startLoad(t, s.client, b, domainA, domainB))
	}
	leases, file := s.leases(t), majority.file(t)

	alone.cut(t, append(others, s.client, majority.machine, s.web[0].machine, s.web[1].machine, s.web[2].machine)...)
	for _, b := range minority {
		b.cut(t, others...)
		b.unready(t, 3, "registry")
		t.Logf("%s says: %v", b.name, b.readyz())
	}
	s.etcd.leader(t, s.etcd.members[:2]...)
	s.etcd.remove(t, domainB+"/leaving")
	s.etcd.put(t, domainB+"/coming", s.web[3].ip)
	s.comes(t, majority, domainB, "coming", s.web[3])
	majority.ready(t)
	majority.settles(t)
	for i, b := range minority {
		loads[2*i].GoesOn(t)
		b.unready(t, 3, "registry")
		if now := b.file(t); now != file {
			t.Errorf("the file of %s was\n%s\nand is now\n%s", b.name, file, now)
		}
		if a, err := get(s.client, b.ip, domainB, "leaving"); err != nil || a.Body != s.web[0].name {
			t.Errorf("%s does not serve on as it did: %s, %v", b.name, a, err)
		}
	}

	alone.heal(t)
	for _, b := range minority {
		b.heal(t)
		s.comes(t, b, domainB, "coming", s.web[3])
		b.ready(t)
		b.settles(t)
	}
	s.identical(t)
	if now := s.leases(t); now != leases {
		t.Errorf("the registered hosts were\n%s\nand are now\n%s", leases, now)
	}
	for _, l := range loads {
		l.EndsLosing(t, 0)
	}
}

// follows has the agent know one member alone, and look at no more than what that tells it.
func (b *balancer) follows(t *testing.T, m *member) {
	t.Helper()
	b.agent.Terminate(t)
	b.env = append(b.env, "HAPSYNC_ENDPOINTS="+m.client(), "HAPSYNC_RESYNC=1h")
	b.startAgent(t)
	b.ready(t)
}

// cut drops all that goes between the machine and others, in both directions. Nobody is told.
func (m *machine) cut(t *testing.T, others ...*machine) {
	t.Helper()
	for _, other := range others {
		m.run(t, "iptables", "-w", "-A", "INPUT", "-s", other.ip, "-j", "DROP")
		m.run(t, "iptables", "-w", "-A", "OUTPUT", "-d", other.ip, "-j", "DROP")
	}
}

// heal undoes every cut.
func (m *machine) heal(t *testing.T) {
	t.Helper()
	m.run(t, "iptables", "-w", "-F")
}
