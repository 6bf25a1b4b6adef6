package compose

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// scale: no request fails, neither while there are more and more of them, nor while most of them leave.
func (s *stack) scale(t *testing.T) {
	s.scaledTo(t, 2)
	s.rights(t)
	l := startLoadOf(t, s.web, domainC)
	s.scaledTo(t, 4)
	s.scaledTo(t, 1)
	s.scaledTo(t, 2)
	l.EndsLosing(t, 0)

	killed, stays := s.labelled(t)[0], s.labelled(t)[1]
	l = startLoadOf(t, s.web, domainC)
	harness.Docker(t, "kill", killed)
	took := harness.Eventually(t, "the one that was killed is out", func() error { return serves(s.web, domainC, stays) })
	inTime(t, "it was out", took)
	harness.Docker(t, "start", killed)
	harness.Eventually(t, "it is back", func() error { return serves(s.web, domainC, killed, stays) })
	l.EndsLosing(t, loadClients)
}

// scaledTo has so many containers with labels, and waits until all of them serve, and nobody else.
func (s *stack) scaledTo(t *testing.T, n int) {
	t.Helper()
	start := time.Now()
	s.bring(t, "docker", "--scale", fmt.Sprintf("web=%d", n))
	took := time.Since(start)
	names := s.labelled(t)
	if len(names) != n {
		t.Fatalf("there are %d containers, want %d", len(names), n)
	}
	harness.Eventually(t, "the containers with labels serve", func() error { return serves(s.web, domainC, names...) })
	t.Logf("%d containers: compose took %v, they served %v after the start of it", n, took.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
}

// labelled are the names that the running containers with labels have for themselves, and answer with.
func (s *stack) labelled(t *testing.T) (names []string) {
	t.Helper()
	for _, c := range s.inspect(t) {
		if c.Config.Labels["hapsync.domain"] == domainC && c.State.Status == "running" {
			names = append(names, c.Config.Hostname)
		}
	}
	slices.Sort(names)
	return names
}

// killRegistrationOfAll: it is back before its leases end, and takes them over.
func (s *stack) killRegistrationOfAll(t *testing.T) {
	names := s.labelled(t)
	l := startLoadOf(t, s.web, domainC)
	register := strings.TrimSpace(s.run(t, "ps", "-q", "register-docker"))
	start := time.Now()
	harness.Docker(t, "kill", register) // compose alone takes as long as a lease on a slow machine
	harness.Docker(t, "start", register)
	t.Logf("it was started again within %v", time.Since(start).Round(time.Millisecond))
	pass(16 * time.Second) // longer than the leases of before
	if err := serves(s.web, domainC, names...); err != nil {
		t.Error(err)
	}
	s.scaledTo(t, 1)
	l.EndsLosing(t, 0)
	s.run(t, "rm", "-s", "-f", "web", "register-docker")
}
