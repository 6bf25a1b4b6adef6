package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// startLimited starts HAProxy, which may have so many descriptors, with further words on its command line.
func (b *box) startLimited(t *testing.T, descriptors int, more ...string) {
	t.Helper()
	args := []string{fmt.Sprintf("--nofile=%[1]d:%[1]d", descriptors), b.haproxy.path, "-W", "-S", b.masterSocket, "-f", b.baseFile, "-f", b.managedFile}
	b.master = startCommand(t, filepath.Join(b.dir, "haproxy.log"), exec.Command("prlimit", append(args, more...)...))
	b.master.Eventually(t, "HAProxy answers on "+b.runtimeSocket, func() error {
		_, err := b.pid()
		return err
	})
}

// crowd registers hosts big00, big01, ... of a domain.
func (b *box) crowd(t *testing.T, domain string, hosts int, addr string) {
	t.Helper()
	puts := map[string]string{}
	for i := range hosts {
		for key, value := range addrOf(t, fmt.Sprintf("%s/big%03d", domain, i), addr) {
			puts[key] = value
		}
		if len(puts) >= 100 {
			b.txn(t, puts)
			puts = map[string]string{}
		}
	}
	b.txn(t, puts)
}

// newLimited is a box whose HAProxy needs some 130 descriptors, and one for each server with a check. It has a.abc.com and
// big.abc.com.
func newLimited(t *testing.T, h haproxy) (b *box, one *host) {
	t.Helper()
	b = newBeside(t, h)
	one = startHost(t, "one")
	operator(t, b.baseFile, "global\n", "global\n    nbthread 1\n    maxconn 40\n")
	b.register(t, "a.abc.com/server1", one.addr)
	b.register(t, "big.abc.com/server1", one.addr)
	b.write(t, b.managedFile, b.frontendLines("a.abc.com", "big.abc.com")+
		domainLines("a.abc.com", serverLine("server1", one.addr))+domainLines("big.abc.com", serverLine("server1", one.addr)))
	return b, one
}

// settlesWithout waits until there is nothing left to do, but for what is left out.
func (b *box) settlesWithout(t *testing.T) {
	t.Helper()
	eventually(t, "registry, file and process are in line", func() error {
		if o := b.hapsync(t, "plan"); !strings.Contains(o.stdout, "in line: ") {
			return fmt.Errorf("%s", o)
		}
		return nil
	})
}

// servedAfterARestart fails the test unless HAProxy starts with the files as they are, and serves the domains.
func (b *box) servedAfterARestart(t *testing.T, h *host, words []string, domains ...string) {
	t.Helper()
	b.master.terminate(t)
	b.startLimited(t, 300, words...)
	for _, d := range domains {
		b.serves(t, d, "", h)
	}
}

// TestHostsForWhichHAProxyHasNoDescriptorsAreLeftOut has servers that need three descriptors each, two for the operator's agent-check, and a
// HAProxy that takes twice the connections that its file says.
func TestHostsForWhichHAProxyHasNoDescriptorsAreLeftOut(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, one := newLimited(t, h)
		operator(t, b.managedFile, domainLines("big.abc.com", serverLine("server1", one.addr)), domainLines("big.abc.com", serverLine("server1", one.addr)+" agent-check agent-port 1 agent-inter 60s"))
		connections := []string{"-n", "80"}
		b.startLimited(t, 300, connections...)
		a := b.startAgent(t)
		a.ready(t)
		b.crowd(t, "big.abc.com", 250, one.addr)
		a.logs(t, 0, "big.abc.com", "hosts left out", "HAProxy may have 300 descriptors", "LimitNOFILE")
		b.comes(t, "big.abc.com", "big000", one)
		b.settlesWithout(t)

		b.txn(t, map[string]string{"b.abc.com/check": "off"})
		b.txn(t, addrOf(t, "b.abc.com/server1", one.addr))
		b.comes(t, "b.abc.com", "", one) // by a reload
		b.settlesWithout(t)
		a.ready(t)
		n := strings.Count(read(t, b.managedFile), " check ")
		if n < 10 || n > 60 {
			t.Errorf("%d servers with two checks are in the file", n)
		}
		o := b.hapsync(t, "check")
		says(t, o.stdout, "descriptors", "of 300")
		b.servedAfterARestart(t, one, connections, "a.abc.com", "b.abc.com", "big.abc.com")
		b.settlesWithout(t)
		if again := strings.Count(read(t, b.managedFile), " check "); again != n {
			t.Errorf("%d servers with two checks, %d after the restart", n, again)
		}
	})
}

// TestDomainThatHAProxyCannotLoadIsFoundAmongAll has a HAProxy whose limits hapsync does not see.
func TestDomainThatHAProxyCannotLoadIsFoundAmongAll(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, one := newLimited(t, h)
		b.haproxy.path = filepath.Join(b.dir, "balancer") // a name by which hapsync does not know it
		if err := os.Symlink(h.path, b.haproxy.path); err != nil {
			t.Fatal(err)
		}
		b.startLimited(t, 300)
		a := b.startAgent(t)
		a.ready(t)
		b.crowd(t, "big.abc.com", 200, one.addr)
		if h.can.CookieLive {
			b.comes(t, "big.abc.com", "big000", one)
			b.settles(t)
		}
		b.txn(t, addrOf(t, "c.abc.com/server1", one.addr))
		b.comes(t, "c.abc.com", "", one)
		a.logs(t, 0, `msg="haproxy refuses a domain"`, "big.abc.com", "refuses to reload")
		b.comes(t, "big.abc.com", "server1", one)
		a.terminate(t)
		b.servedAfterARestart(t, one, nil, "a.abc.com", "big.abc.com", "c.abc.com")
	})
}

// TestManyNewHostsOfADomainKeepNoOtherWaiting has a haproxy -c that does not answer until the other domain has moved: the many come by
// a reload.
func TestManyNewHostsOfADomainKeepNoOtherWaiting(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		b.put(t, "a.abc.com/check", "off")
		b.must(t, "sync")
		b.crowd(t, "a.abc.com", 600, b.a1.addr)
		if o := b.hapsync(t, "plan"); h.can.CookieLive {
			says(t, o.stdout, "600 new servers of a backend come sooner by a reload")
		}
		binary, hang := b.hangable(t)
		if err := os.WriteFile(hang, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		a := b.startAgent(t, "--haproxy-bin", binary)
		l := newLane(t, b)
		l.move(t)
		l.move(t)
		b.runs(t, "a.abc.com", "server1", "server2")
		if err := os.Remove(hang); err != nil {
			t.Fatal(err)
		}
		b.comes(t, "a.abc.com", "big599", b.a1)
		b.settles(t)
		a.ready(t)
	})
}

func TestOptionThatChangesAgainAndAgainWaitsAndNoOtherDomainDoes(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a := startFollowed(t, h, "--reload-interval", "100ms")
		balances := func(algorithm string) error {
			if text := read(t, b.managedFile); !strings.Contains(text, "balance "+algorithm) {
				return fmt.Errorf("no balance %s in:\n%s", algorithm, text)
			}
			return nil
		}
		b.put(t, "a.abc.com/balance", "leastconn")
		eventually(t, "the first change is loaded", func() error { return balances("leastconn") })
		b.settles(t)
		b.put(t, "a.abc.com/balance", "first")
		a.logs(t, 0, "msg=problem", "a.abc.com/balance", "the next reload for it is made at")
		b.txn(t, addrOf(t, "c.abc.com/server1", b.a1.addr))
		b.comes(t, "c.abc.com", "", b.a1)
		eventually(t, "the second change is loaded", func() error { return balances("first") })
		b.settles(t)
		a.ready(t)
	})
}
