package compose

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// TestCompose brings everything up once. Each subtest leaves it as it was.
func TestCompose(t *testing.T) {
	s := newStack(t)
	start := time.Now()
	s.run(t, "build")
	t.Logf("built in %v", time.Since(start).Round(time.Second))
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := s.try("logs", "--no-color", "--timestamps")
			t.Logf("logs:\n%s", out)
		}
	})
	for _, test := range []struct {
		name string
		run  func(*stack, *testing.T)
	}{
		{"from nothing to right answers, without an error in any log", (*stack).up},
		{"hosts take turns, a cookie leads back, a domain has its own hosts", (*stack).requests},
		{"no container has more rights than it needs", (*stack).rights},
		{"web servers and HAProxy do not reach etcd, and others need a password", (*stack).apart},
		{"a web server that stops loses no request", (*stack).stop},
		{"a web server that is killed loses only requests under way", (*stack).kill},
		{"a web server that is paused keeps nobody but those who it had", (*stack).pause},
		{"a registration that is killed leaves with its lease", (*stack).killRegistration},
		{"an agent that is killed is not missed, and catches up", (*stack).killAgent},
		{"an etcd that is killed is not missed", (*stack).killEtcd},
		{"an HAProxy that is killed is right when it is back", (*stack).killHAProxy},
		{"all containers that are killed at once are right when they are back", (*stack).killAll},
		{"containers that their labels register are followed, however many they are", (*stack).scale},
		{"a registration of all containers is not missed while it starts anew", (*stack).killRegistrationOfAll},
		{"two balancers give the same cookie the same server", (*stack).balancers},
		{"three etcd members, joined one after the other, are one cluster", (*stack).cluster},
	} {
		if !t.Run(test.name, func(t *testing.T) { test.run(s, t) }) {
			return
		}
	}
}

func (s *stack) up(t *testing.T) {
	start := time.Now()
	s.run(t, "up", "-d", "--no-build")
	took := time.Since(start)
	s.ready(t)
	t.Logf("up took %v, the first right answers came after %v", took.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	s.healthy(t)
	s.logsAreClean(t)
	for _, url := range []string{s.stats, s.agent + "/readyz", s.agent + "/status"} {
		if err := page(url); err != nil {
			t.Error(err)
		}
	}
}

func page(url string) error {
	resp, err := http.Get("http://" + url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s\n%s", url, resp.Status, text)
	}
	return nil
}

// ready waits until both domains are served by all their hosts.
func (s *stack) ready(t *testing.T) time.Duration {
	t.Helper()
	return harness.Eventually(t, "both domains are served", func() error {
		if err := serves(s.web, domainA, "web1", "web2"); err != nil {
			return err
		}
		return serves(s.web, domainB, "web3")
	})
}

// healthy waits until each container is, or has ended well.
func (s *stack) healthy(t *testing.T) {
	t.Helper()
	harness.Eventually(t, "all containers are healthy", func() error {
		for _, c := range s.inspect(t) {
			ended := c.State.Status == "exited" && c.State.ExitCode == 0
			if !ended && c.State.Health.Status != "healthy" {
				return fmt.Errorf("%s is %s, %s", c.Name, c.State.Status, c.State.Health.Status)
			}
		}
		return nil
	})
}

// logsAreClean looks for errors in the words of hapsync, etcd, HAProxy and nginx. That the containers beside an agent may read its
// page is told, and meant.
func (s *stack) logsAreClean(t *testing.T) {
	t.Helper()
	bad := regexp.MustCompile(`level=(WARN|ERROR)|"level":"(error|fatal|panic)"|\[(ALERT|emerg|alert|crit|error|warn)\]|panic:`)
	for line := range strings.Lines(s.run(t, "logs", "--no-color")) {
		if bad.MatchString(line) && !strings.Contains(line, "--web-config-file") {
			t.Errorf("logged: %s", line)
		}
	}
}

func (s *stack) requests(t *testing.T) {
	var turns []string
	for range 4 {
		turns = append(turns, s.asks(t, domainA, "").Body)
	}
	if turns[0] == turns[1] || turns[0] != turns[2] || turns[1] != turns[3] {
		t.Errorf("%s: its hosts do not take turns: %v", domainA, turns)
	}
	first := s.asks(t, domainA, "")
	if first.Cookie != first.Body {
		t.Errorf("%s answered, and its cookie is %q", first, first.Cookie)
	}
	for range 3 {
		if a := s.asks(t, domainA, first.Cookie); a.Body != first.Body {
			t.Errorf("the cookie of %s leads to %s", first.Cookie, a)
		}
	}
	if a := s.asks(t, domainB, ""); a.Body != "web3" {
		t.Errorf("%s: %s", domainB, a)
	}
	if a := s.asks(t, "unknown.abc.com", ""); a.Status != http.StatusServiceUnavailable {
		t.Errorf("an unknown domain: %s", a)
	}
}

func (s *stack) asks(t *testing.T, domain, server string) harness.Answer {
	t.Helper()
	a, err := ask(s.web, domain, server)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A container is what docker inspect says of it.
type container struct {
	ID    string
	Name  string
	State struct {
		Status   string
		ExitCode int
		Health   struct{ Status string }
	}
	Config struct {
		Hostname, User string
		Labels         map[string]string
	}
	HostConfig struct {
		CapDrop, SecurityOpt []string
		ReadonlyRootfs       bool
		Privileged           bool
		Memory               int64
		PortBindings         map[string][]struct{ HostIP string }
	}
}

func (s *stack) inspect(t *testing.T) (all []container) {
	t.Helper()
	if err := json.Unmarshal([]byte(harness.Docker(t, append([]string{"inspect"}, s.containers(t)...)...)), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func (s *stack) rights(t *testing.T) {
	for _, c := range s.inspect(t) {
		h := c.HostConfig
		if !slices.Equal(h.CapDrop, []string{"ALL"}) || !slices.Contains(h.SecurityOpt, "no-new-privileges:true") || !h.ReadonlyRootfs || h.Memory == 0 {
			t.Errorf("%s: %+v", c.Name, h)
		}
		if user, _, _ := strings.Cut(c.Config.User, ":"); user == "" || user == "0" || user == "root" {
			t.Errorf("%s runs as %q", c.Name, c.Config.User)
		}
		for port, bindings := range h.PortBindings {
			for _, b := range bindings {
				if b.HostIP != "127.0.0.1" {
					t.Errorf("%s: port %s is published on %q", c.Name, port, b.HostIP)
				}
			}
		}
	}
}

func (s *stack) apart(t *testing.T) {
	id := strings.TrimSpace(s.run(t, "ps", "-q", "etcd"))
	etcd := strings.TrimSpace(harness.Docker(t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", id))
	for service, reaches := range map[string]bool{"agent": true, "haproxy": false, "web1": false} {
		out, err := s.try("exec", "-T", service, "timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/"+etcd+"/2379")
		if reaches != (err == nil) {
			t.Errorf("%s reaches etcd: %v\n%s", service, err == nil, out)
		}
	}
	for _, c := range []struct {
		refused string
		command []string
	}{
		{"user", []string{"-e", "HAPSYNC_USER=", "-e", "HAPSYNC_PASSWORD_FILE=", "agent", "hapsync", "list"}},
		{"permission", []string{"agent", "hapsync", "maint", "a.abc.com/web1"}},
	} {
		if out, err := s.try(append([]string{"exec", "-T"}, c.command...)...); err == nil || !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%v: %v\n%s", c.command, err, out)
		}
	}
	if out := s.run(t, "exec", "-T", "agent", "hapsync", "list"); !strings.Contains(out, "web1") {
		t.Errorf("hapsync list in the agent's container: %s", out)
	}
}
