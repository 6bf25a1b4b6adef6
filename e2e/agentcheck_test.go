package e2e

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// An advisor answers HAProxy's agent-checks.
type advisor struct {
	port string
	says atomic.Value
}

func startAdvisor(t *testing.T, says string) *advisor {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &advisor{}
	a.says.Store(says)
	_, a.port, _ = net.SplitHostPort(l.Addr().String())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(a.says.Load().(string) + "\n"))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return a
}

// state waits until the process has a server so.
func (b *box) state(t *testing.T, server, want string) {
	t.Helper()
	eventually(t, server+" is "+want, func() error {
		reply, err := b.runtime("show servers state a.abc.com_cluster")
		if err != nil {
			return err
		}
		for l := range strings.Lines(reply) {
			if w := strings.Fields(l); len(w) > 8 && w[3] == server {
				if got := "admin=" + w[6] + " weight=" + w[7]; got != want {
					return errors.New(got)
				}
				return nil
			}
		}
		return errors.New("there is no such server:\n" + reply)
	})
}

// TestAgentChecksHaveTheirSay has HAProxy's agent-checks set weights and states: no pass sets them back.
func TestAgentChecksHaveTheirSay(t *testing.T) {
	t.Parallel()
	for name, behind := range map[string]bool{"by default-server": false, "by the server's words": true} {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				one, two, agent := startHost(t, "one"), startHost(t, "two"), startAdvisor(t, "ready up 50%")
				words := "agent-check agent-port " + agent.port + " agent-inter 100ms"
				server := serverLine("server1", one.addr)
				if behind {
					server += " " + words
					b.write(t, b.baseFile, read(t, b.baseFile)+"    default-server weight 100\n")
				} else {
					b.write(t, b.baseFile, read(t, b.baseFile)+"    default-server weight 100 "+words+"\n")
				}
				b.write(t, b.managedFile, b.frontendLines("a.abc.com")+domainLines("a.abc.com", server))
				b.register(t, "a.abc.com/server1", one.addr)
				b.startWith(t, b.baseFile, b.managedFile)
				for _, c := range [][2]string{
					{"ready up 50%", "admin=0 weight=50"}, {"ready up 20% maxconn:3", "admin=0 weight=20"},
					{"drain", "admin=8 weight=20"}, {"maint", "admin=1 weight=20"},
				} {
					agent.says.Store(c[0])
					b.state(t, "server1", c[1])
					b.leavesAgents(t)
					says(t, b.must(t, "sync").stdout, "agent-check ", "a.abc.com/server1: ", "by its agent-check", "weight 100 without")
					b.state(t, "server1", c[1])
				}
				says(t, b.hapsync(t, "explain", "a.abc.com/server1").stdout, "in maintenance", "its agent-check has set that")
				agent.says.Store("ready up 50%")
				b.state(t, "server1", "admin=0 weight=50")
				b.register(t, "a.abc.com/server2", two.addr)
				b.must(t, "sync")
				b.leavesAgents(t)
				b.state(t, "server2", "admin=0 weight=50")

				a := b.startAgent(t, "--resync", "200ms")
				a.ready(t)
				agent.says.Store("ready up 30%")
				b.state(t, "server1", "admin=0 weight=30")
				eventually(t, "hapsync status names it", func() error {
					if got := b.hapsync(t, "status", "--listen", a.listen); !strings.Contains(got.stdout, "server1: ready, weight 30") ||
						!strings.Contains(got.stdout, "by its agent-check, ready, weight 100 without") {
						return errors.New(got.stdout)
					}
					return nil
				})
				b.register(t, "a.abc.com/server2", one.addr)
				b.comes(t, "a.abc.com", "server2", one)
				b.put(t, "a.abc.com/server2/weight", "60")
				eventually(t, "the file has the weight", func() error {
					if !strings.Contains(b.line(t, "server2"), "weight 60") {
						return errors.New(b.line(t, "server2"))
					}
					return nil
				})
				b.state(t, "server2", "admin=0 weight=30") // of the weight that HAProxy has loaded
				b.reload(t)
				b.state(t, "server2", "admin=0 weight=18")
				a.terminate(t)
				if o := b.must(t, "plan"); strings.Contains(o.stdout, "kept") {
					t.Errorf("what an agent-check has set is taken for an operator's: %s", o)
				}

				agent.says.Store("50%") // as most agents say: nothing on the state
				b.put(t, "a.abc.com/server1/state", "drain")
				b.must(t, "sync")
				b.leavesAgents(t)
				b.state(t, "server1", "admin=8 weight=50")
				b.put(t, "a.abc.com/server1/state", "maint")
				b.must(t, "sync")
				b.leavesAgents(t)
				b.state(t, "server1", "admin=1 weight=50")
				b.delete(t, "a.abc.com/server1/state")
				b.must(t, "sync")
				b.leavesAgents(t)
				b.state(t, "server1", "admin=0 weight=50")
			})
		})
	}
}

// TestADrainOverAReloadLeavesPercentagesOfAnAgentCheckRight ends drains during which HAProxy has loaded weight 0: percentages are of the
// server's own weight again, with an agent and without one, and HAProxy is reloaded once for that.
func TestADrainOverAReloadLeavesPercentagesOfAnAgentCheckRight(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		one, agent := startHost(t, "one"), startAdvisor(t, "50%")
		b.write(t, b.baseFile, read(t, b.baseFile)+"    default-server weight 100 agent-check agent-port "+agent.port+" agent-inter 100ms\n")
		b.write(t, b.managedFile, b.frontendLines("a.abc.com")+domainLines("a.abc.com", serverLine("server1", one.addr)))
		b.register(t, "a.abc.com/server1", one.addr)
		b.startWith(t, b.baseFile, b.managedFile)
		b.state(t, "server1", "admin=0 weight=50")
		drainsWithSync := func(t *testing.T) {
			b.put(t, "a.abc.com/server1/state", "drain")
			b.must(t, "sync")
			b.reload(t)
			b.must(t, "sync")
			b.state(t, "server1", "admin=8 weight=0")
		}
		drainsWithSync(t)
		b.delete(t, "a.abc.com/server1/state")
		since := b.generation(t)
		says(t, b.hapsync(t, "plan").stdout, "server a.abc.com_cluster/server1: its agent-check sets percentages of the weight that HAProxy has loaded, which is 0")
		b.must(t, "sync")
		b.reloadedOnce(t, since)
		b.state(t, "server1", "admin=0 weight=50")
		b.leavesAgents(t)

		drainsWithSync(t)
		a := b.startAgent(t)
		a.ready(t)
		b.delete(t, "a.abc.com/server1/state")
		b.state(t, "server1", "admin=0 weight=50")
		a.ready(t)
		a.terminate(t)
		b.leavesAgents(t)
	})
}

// leavesAgents fails the test if there is something to do.
func (b *box) leavesAgents(t *testing.T) {
	t.Helper()
	says(t, b.must(t, "plan", "--detailed-exitcode").stdout, "in line: ")
}
