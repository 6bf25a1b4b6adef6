// Package compose brings docker-compose.yml up and uses it from outside. `make compose-test` runs it, and takes all down
// afterwards; without the variable HAPSYNC_COMPOSE, which holds the compose command, it does nothing.
package compose

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// network is one that the demo does not use.
const network = "10.213.77"

// A stack is what one docker-compose command line is about.
type stack struct {
	command []string // docker-compose, or docker compose; with the project
	// where HAProxy, its statistics page and the agent are published, then those of the second balancer
	web, stats, agent, web2, stats2, agent2 string
}

// newStack chooses free ports, and a network that the demo does not use.
func newStack(t *testing.T) *stack {
	t.Helper()
	words := strings.Fields(os.Getenv("HAPSYNC_COMPOSE"))
	if len(words) == 0 {
		t.Skip("make compose-test runs this")
	}
	s := &stack{command: append(words, "-f", "../../docker-compose.yml")}
	for name, addr := range map[string]*string{
		"WEB_PORT": &s.web, "STATS_PORT": &s.stats, "AGENT_PORT": &s.agent,
		"WEB2_PORT": &s.web2, "STATS2_PORT": &s.stats2, "AGENT2_PORT": &s.agent2,
	} {
		*addr = harness.FreeAddr(t)
		t.Setenv(name, strings.TrimPrefix(*addr, "127.0.0.1:"))
	}
	t.Setenv("NET", network)
	t.Setenv("WEB_DOMAIN", domainC)
	t.Setenv("DOCKER_GID", socketGroup(t))
	return s
}

// run runs a compose command, which must succeed, and returns what it printed.
func (s *stack) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// try runs a compose command that sees the services of all profiles, unless it brings something up.
func (s *stack) try(args ...string) (string, error) {
	words := slices.Concat(s.command, []string{"--profile", "cluster", "--profile", "two-balancers", "--profile", "docker"}, args)
	if slices.Contains(args, "up") {
		words = slices.Concat(s.command, args)
	}
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// bring brings the services of a profile up. What is there stays.
func (s *stack) bring(t *testing.T, profile string, args ...string) {
	t.Helper()
	s.run(t, slices.Concat([]string{"--profile", profile, "up", "-d", "--no-build"}, args)...)
}

// socketGroup is the number of the group that may use the engine's socket.
func socketGroup(t *testing.T) string {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat("/var/run/docker.sock", &stat); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(stat.Gid)
}

// containers are the ids of all containers, those that have ended included.
func (s *stack) containers(t *testing.T) []string {
	t.Helper()
	ids := strings.Fields(s.run(t, "ps", "-a", "-q"))
	if len(ids) == 0 {
		t.Fatal("no containers")
	}
	return ids
}

// etcdctl runs it in a member's container.
func (s *stack) etcdctl(t *testing.T, member string, args ...string) string {
	t.Helper()
	return strings.TrimSpace(s.run(t, slices.Concat([]string{"exec", "-T", member, "etcdctl"}, args)...))
}

// put registers a host by hand.
func (s *stack) put(t *testing.T, member, host, ip, port string) {
	t.Helper()
	s.etcdctl(t, member, "put", "/services/web/"+host+"/ip", ip)
	s.etcdctl(t, member, "put", "/services/web/"+host+"/port", port)
}

// pass waits, so that what should not happen has had the time to.
func pass(d time.Duration) { <-time.After(d) }
