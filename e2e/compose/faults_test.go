package compose

import (
	"testing"
	"time"
)

// onlyWeb2 waits until new clients get web2 alone.
func (s *stack) onlyWeb2(t *testing.T) {
	t.Helper()
	took := eventually(t, "web1 is out", func() error { return serves(s.web, domainA, "web2") })
	t.Logf("web1 was out %v later", took.Round(time.Millisecond))
}

func (s *stack) stop(t *testing.T) {
	l := startLoad(t, s.web)
	for _, d := range s.downloadWhile(t, "stop", "web1") {
		d.completes(t)
	}
	s.onlyWeb2(t)
	s.run(t, "start", "web1")
	t.Logf("web1 was back %v later", s.ready(t).Round(time.Millisecond))
	l.loses(t, 0)
}

// downloadWhile runs a compose command, and starts a download from web1 every 100 ms meanwhile.
func (s *stack) downloadWhile(t *testing.T, args ...string) (downloads []download) {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := s.try(args...)
		ended <- err
	}()
	for {
		downloads = append(downloads, startDownload(s.web, "web1"))
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			return downloads
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *stack) kill(t *testing.T) {
	l := startLoad(t, s.web)
	s.run(t, "kill", "web1")
	s.onlyWeb2(t)
	s.run(t, "start", "web1")
	s.ready(t)
	l.loses(t, loadClients)
}

// pause: a request that web1 has when it is paused is answered when it goes on.
func (s *stack) pause(t *testing.T) {
	l := startLoad(t, s.web)
	s.run(t, "pause", "web1")
	s.onlyWeb2(t)
	s.run(t, "unpause", "web1")
	s.ready(t)
	l.loses(t, 0)
}

func (s *stack) killRegistration(t *testing.T) {
	l := startLoad(t, s.web)
	s.run(t, "kill", "register1")
	s.onlyWeb2(t)
	s.run(t, "start", "register1")
	s.ready(t)
	l.loses(t, 0)
}

// killAgent: what is registered meanwhile is served when the agent is back.
func (s *stack) killAgent(t *testing.T) {
	l := startLoad(t, s.web)
	s.run(t, "kill", "agent")
	s.put(t, "etcd", "c.abc.com/server1", s.address("web3"), "8080")
	s.run(t, "start", "agent")
	eventually(t, "c.abc.com is served", func() error { return serves(s.web, "c.abc.com", "web3") })
	s.etcdctl(t, "etcd", "del", "--prefix", "/services/web/c.abc.com/")
	l.loses(t, 0)
}

// killEtcd: registrations and agent find the way back, and the hosts stay.
func (s *stack) killEtcd(t *testing.T) {
	l := startLoad(t, s.web)
	s.run(t, "kill", "etcd")
	pass(8 * time.Second) // longer than a lease
	s.run(t, "start", "etcd")
	s.healthy(t)
	s.ready(t)
	l.loses(t, 0)
	s.follows(t)
}

// follows registers a host by hand, sees it served, and takes it out.
func (s *stack) follows(t *testing.T) {
	t.Helper()
	eventually(t, "etcd takes a key", func() error {
		_, err := s.try("exec", "-T", "etcd", "etcdctl", "put", "/services/web/b.abc.com/server1/ip", s.address("web1"))
		return err
	})
	s.etcdctl(t, "etcd", "put", "/services/web/b.abc.com/server1/port", "8080")
	eventually(t, "a host that was added is served", func() error { return serves(s.web, domainB, "web1", "web3") })
	s.etcdctl(t, "etcd", "del", "--prefix", "/services/web/b.abc.com/server1/")
	eventually(t, "a host that was removed is gone", func() error { return serves(s.web, domainB, "web3") })
}

// killHAProxy: nobody is served until it is back; then everybody is, also before the agent has said anything.
func (s *stack) killHAProxy(t *testing.T) {
	l := startLoad(t, s.web)
	start := time.Now()
	s.run(t, "kill", "haproxy")
	s.run(t, "start", "haproxy")
	s.ready(t)
	back := time.Now()
	l.goesOn(t)
	l.end()
	late := 0
	for _, f := range l.failed {
		if f.began.Before(start) || f.began.After(back) {
			late++
		}
	}
	t.Logf("served %d; lost %d in the %v from the kill to the first right answers, and %d after",
		l.good, len(l.failed)-late, back.Sub(start).Round(time.Millisecond), late)
	if late > 0 {
		t.Errorf("%v", l.failed)
	}
	s.healthy(t)
	s.follows(t)
}
