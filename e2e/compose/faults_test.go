package compose

import (
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// onlyWeb2 waits until new clients get web2 alone.
func (s *stack) onlyWeb2(t *testing.T) {
	t.Helper()
	took := harness.Eventually(t, "web1 is out", func() error { return serves(s.web, domainA, "web2") })
	inTime(t, "web1 was out", took)
}

// lease is HAPSYNC_TTL in docker-compose.yml.
const lease = 5 * time.Second

// inTime fails the test where a host that has gone was served for long after its lease. etcd looks for leases that have
// ended now and then, and the machine may be slow.
func inTime(t *testing.T, what string, took time.Duration) {
	t.Helper()
	t.Logf("%s %v later", what, took.Round(time.Millisecond))
	if took > 3*lease {
		t.Errorf("%s %v later, want about %v at most", what, took, lease)
	}
}

func (s *stack) stop(t *testing.T) {
	l := startLoad(t, s.web)
	for _, d := range s.downloadWhile(t, "stop", "web1") {
		d.completes(t)
	}
	s.onlyWeb2(t)
	s.run(t, "start", "web1")
	t.Logf("web1 was back %v later", s.ready(t).Round(time.Millisecond))
	l.EndsLosing(t, 0)
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
	l.EndsLosing(t, loadClients)
}

// pause: a request that web1 has when it is paused is answered when it goes on.
func (s *stack) pause(t *testing.T) {
	l := startLoad(t, s.web)
	s.run(t, "pause", "web1")
	s.onlyWeb2(t)
	s.run(t, "unpause", "web1")
	s.ready(t)
	l.EndsLosing(t, 0)
}

func (s *stack) killRegistration(t *testing.T) {
	l := startLoad(t, s.web)
	s.run(t, "kill", "register1")
	s.onlyWeb2(t)
	s.run(t, "start", "register1")
	s.ready(t)
	l.EndsLosing(t, 0)
}

// killAgent: what is registered meanwhile is served when the agent is back.
func (s *stack) killAgent(t *testing.T) {
	l := startLoad(t, s.web)
	s.run(t, "kill", "agent")
	s.put(t, "etcd", "d.abc.com/server1", s.address("web3"), "8080")
	s.run(t, "start", "agent")
	harness.Eventually(t, "d.abc.com is served", func() error { return serves(s.web, "d.abc.com", "web3") })
	s.etcdctl(t, "etcd", "del", "--prefix", "/services/web/d.abc.com/")
	l.EndsLosing(t, 0)
}

// killEtcd: registrations and agent find the way back, and the hosts stay.
func (s *stack) killEtcd(t *testing.T) {
	l := startLoad(t, s.web)
	s.run(t, "kill", "etcd")
	pass(lease + 3*time.Second)
	s.run(t, "start", "etcd")
	s.healthy(t)
	s.ready(t)
	l.EndsLosing(t, 0)
	s.follows(t)
}

// follows registers a host by hand, sees it served, and takes it out.
func (s *stack) follows(t *testing.T) {
	t.Helper()
	harness.Eventually(t, "etcd takes a key", func() error {
		_, err := s.try("exec", "-T", "etcd", "etcdctl", "put", "/services/web/b.abc.com/server1/ip", s.address("web1"))
		return err
	})
	s.etcdctl(t, "etcd", "put", "/services/web/b.abc.com/server1/port", "8080")
	harness.Eventually(t, "a host that was added is served", func() error { return serves(s.web, domainB, "web1", "web3") })
	s.etcdctl(t, "etcd", "del", "--prefix", "/services/web/b.abc.com/server1/")
	harness.Eventually(t, "a host that was removed is gone", func() error { return serves(s.web, domainB, "web3") })
}

// killHAProxy: nobody is served until it is back; then everybody is, also before the agent has said anything.
func (s *stack) killHAProxy(t *testing.T) {
	l := startLoad(t, s.web)
	start := time.Now()
	s.run(t, "kill", "haproxy")
	s.run(t, "start", "haproxy")
	s.ready(t)
	losesBetween(t, l, start, time.Now())
	s.healthy(t)
	s.follows(t)
}

// killAll is what a power cut does: all that runs ends at once, and is started again without regard to what needs what.
func (s *stack) killAll(t *testing.T) {
	var ran []string
	for _, c := range s.inspect(t) {
		if c.State.Status == "running" {
			ran = append(ran, c.ID)
		}
	}
	l := startLoad(t, s.web)
	start := time.Now()
	harness.Docker(t, append([]string{"kill"}, ran...)...)
	harness.Docker(t, append([]string{"start"}, ran...)...)
	s.ready(t)
	losesBetween(t, l, start, time.Now())
	s.healthy(t)
	s.follows(t)
}
