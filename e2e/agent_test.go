package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// An agent is a hapsync agent beside a box's HAProxy.
type agent struct {
	*process
	listen string // where /readyz and the others are, as --listen takes it
}

// startAgent starts one that does not need to be ready yet.
func (b *box) startAgent(t testing.TB, flags ...string) *agent {
	t.Helper()
	return b.startAgentAt(t, freeAddr(t), flags...)
}

// startAgentAt starts one that answers at an address, or on "unix:" and a path.
func (b *box) startAgentAt(t testing.TB, listen string, flags ...string) *agent {
	t.Helper()
	return &agent{b.startServer(t, "agent.log", append([]string{"agent", "--listen", listen}, flags...)...), listen}
}

// get asks the agent's own server.
func (a *agent) get(path string) (answer, error) {
	network, addr := "tcp", a.listen
	if path, ok := strings.CutPrefix(a.listen, "unix:"); ok {
		network, addr = "unix", path
	}
	dial := func() (net.Conn, error) { return net.DialTimeout(network, addr, requestTimeout) }
	c := harness.Client{Dial: dial, Path: path}
	return answerOf(c.Get("localhost", "", "close"))
}

// ready waits until the agent says that it is.
func (a *agent) ready(t testing.TB) {
	t.Helper()
	a.Eventually(t, "the agent is ready", func() error {
		got, err := a.get("/readyz")
		if err == nil && got.status != http.StatusOK {
			err = fmt.Errorf("got %s", got)
		}
		return err
	})
}

// unready waits until the agent says that it is not, for a reason with the words in it. It is alive all the same.
func (a *agent) unready(t testing.TB, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the agent is not ready: %q", words), func() error {
		got, err := a.get("/readyz")
		if err == nil && (got.status != http.StatusServiceUnavailable || !containsAll(got.body, words)) {
			err = fmt.Errorf("got %s", got)
		}
		return err
	})
	if got, err := a.get("/healthz"); err != nil || got.status != http.StatusOK {
		t.Errorf("/healthz: got %s, %v", got, err)
	}
}

// logs waits for a line of the agent's log with all the words, beyond the first skip bytes.
func (a *agent) logs(t testing.TB, skip int, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the agent logs %q", words), func() error {
		if !hasLine(a.printed()[skip:], words) {
			return errors.New("there is no such line")
		}
		return nil
	})
}

func containsAll(text string, words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// kill ends the agent as the kernel does when memory is short.
func (a *agent) kill(t testing.TB) {
	t.Helper()
	_ = a.Cmd.Process.Kill()
	<-a.Exited
	a.end(t) // a haproxy -c that it ran
}

// startFollowed is an abc with an agent that is ready.
func startFollowed(t *testing.T, h haproxy, flags ...string) (abc, *agent) {
	t.Helper()
	b := startABC(t, h)
	a := b.startAgent(t, flags...)
	a.ready(t)
	return b, a
}

// comes waits until the host answers requests for the domain with the cookie of a server.
func (b *box) comes(t testing.TB, domain, server string, h *host) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s with cookie %q is served by %s", domain, server, h.name), func() error {
		a, err := get(b.web, domain, server)
		if err == nil && (a.status != http.StatusOK || a.body != h.name) {
			err = fmt.Errorf("got %s", a)
		}
		return err
	})
}

// settles waits until there is nothing left to do: registry, file and process say the same.
func (b *box) settles(t testing.TB) {
	t.Helper()
	eventually(t, "registry, file and process are in line", func() error {
		if o := b.hapsync(t, "plan", "--detailed-exitcode"); o.code != 0 || !strings.Contains(o.stdout, "in line: ") {
			return fmt.Errorf("%s", o)
		}
		return nil
	})
}

// txn changes keys below the box's prefix in one transaction: puts has them with their values, deletes the beginnings.
func (b *box) txn(t testing.TB, puts map[string]string, deletes ...string) {
	t.Helper()
	var ops []clientv3.Op
	for key, value := range puts {
		ops = append(ops, clientv3.OpPut(b.prefix+"/"+key, value))
	}
	for _, keys := range deletes {
		ops = append(ops, clientv3.OpDelete(b.prefix+"/"+keys, clientv3.WithPrefix()))
	}
	world.etcd.writing.RLock()
	defer world.etcd.writing.RUnlock()
	if _, err := world.etcd.client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
		t.Fatalf("change %v and delete %q: %v", puts, deletes, err)
	}
}

// addrOf are the two keys of a host at an address.
func addrOf(t testing.TB, name, addr string) map[string]string {
	t.Helper()
	ip, port := splitAddr(t, addr)
	return map[string]string{name + "/ip": ip, name + "/port": port}
}

func TestAgentFollowsHostsThatMoveComeAndGo(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, _ := startFollowed(t, h)
		moved, fresh := startHost(t, "moved"), startHost(t, "fresh")
		before := b.generation(t)

		b.txn(t, addrOf(t, "a.abc.com/server1", moved.addr))
		b.comes(t, "a.abc.com", "server1", moved)
		b.put(t, "a.abc.com/server1/weight", "7")
		b.eventuallyWeighs(t, "a.abc.com_cluster/server1", "7 ")
		b.put(t, "b.abc.com/server1/state", "maint")
		eventually(t, "the only server of b.abc.com is in maintenance", func() error {
			if a, err := get(b.web, "b.abc.com", ""); err != nil || a.status != http.StatusServiceUnavailable {
				return fmt.Errorf("got %s, %w", a, err)
			}
			return nil
		})
		b.delete(t, "b.abc.com/server1/state")
		b.comes(t, "b.abc.com", "", b.b1)
		b.unregister(t, "a.abc.com/server2")
		b.comes(t, "a.abc.com", "server2", moved)
		b.settles(t)
		b.notReloaded(t, before)

		b.register(t, "a.abc.com/server3", fresh.addr)
		b.comes(t, "a.abc.com", "server3", fresh)
		b.settles(t)
		b.takesServers(t, before)
		b.delete(t, "a.abc.com/server1/weight")
		b.eventuallyWeighs(t, "a.abc.com_cluster/server1", "1 ")
		b.settles(t)
		b.managed(t, "a.abc.com server1="+moved.addr+" server3="+fresh.addr, "b.abc.com server1="+b.b1.addr)
	})
}

func (b *box) eventuallyWeighs(t testing.TB, server, weight string) {
	t.Helper()
	eventually(t, "the weight of "+server+" is "+weight, func() error {
		if reply, err := b.runtime("get weight " + server); err != nil || !strings.HasPrefix(reply, weight) {
			return fmt.Errorf("got %q, %w", reply, err)
		}
		return nil
	})
}

func TestAgentJoinsNewDomainsIntoFewReloads(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		const interval = time.Second
		b, _ := startFollowed(t, h, "--reload-interval", interval.String())
		fresh := startHost(t, "fresh")
		l := startLoad(t, b.box, "b.abc.com")
		before, started := b.generation(t), time.Now()
		pace := time.NewTicker(40 * time.Millisecond)
		defer pace.Stop()
		const domains = 40
		for i := range domains {
			b.register(t, fmt.Sprintf("new%d.abc.com/server1", i), fresh.addr)
			if i > domains/2 { // the first ones in one burst
				<-pace.C
			}
		}
		for i := range domains {
			b.comes(t, fmt.Sprintf("new%d.abc.com", i), "server1", fresh)
		}
		b.settles(t)
		b.fewReloads(t, before, started, 1, interval)
		l.endsWithoutFailure(t)
	})
}

// fewReloads fails the test unless there was a reload, and no more than the interval allows: each agent's first one comes
// at once.
func (b *box) fewReloads(t testing.TB, before generation, started time.Time, agents int, interval time.Duration) {
	t.Helper()
	most := agents + int(time.Since(started)/interval)
	if n := b.generation(t).reloads - before.reloads; n < 1 || n > most {
		t.Errorf("%d reloads in %s, want 1 to %d", n, time.Since(started), most)
	}
}

func TestAgentWaitsForTheSecondKeyOfAHost(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a := startFollowed(t, h)
		_, port := splitAddr(t, b.b1.addr)
		wrong := startHostAt(t, "the new ip with the old port", "127.0.0.2:"+port)
		_, port = splitAddr(t, freeAddr(t))
		moved := startHostAt(t, "moved", "127.0.0.2:"+port)
		fresh := startHost(t, "fresh")
		before, file := b.generation(t), footprintOf(t, b.managedFile)
		ip, fullPort := splitAddr(t, fresh.addr)

		b.put(t, "a.abc.com/server9/ip", ip)
		says(t, b.must(t, "list").stdout, "server9")
		b.txn(t, map[string]string{"a.abc.com/server1/weight": "3"})
		b.eventuallyWeighs(t, "a.abc.com_cluster/server1", "3 ")
		a.ready(t) // a half-written host is no fault
		if reply, err := b.runtime("show servers state a.abc.com_cluster"); err != nil || strings.Contains(reply, "server9") {
			t.Errorf("half a host is in HAProxy: %q, %v", reply, err)
		}
		b.put(t, "a.abc.com/server9/port", fullPort)
		b.comes(t, "a.abc.com", "server9", fresh)

		l := startLoad(t, b.box, "b.abc.com")
		b.put(t, "b.abc.com/server1/ip", "127.0.0.2")
		b.put(t, "b.abc.com/server1/port", port)
		b.comes(t, "b.abc.com", "server1", moved)
		l.endsWithoutFailure(t)
		if n := l.served(wrong); n > 0 {
			t.Errorf("%d requests went to the new ip with the old port", n)
		}
		b.settles(t)
		if footprintOf(t, b.managedFile) == file {
			t.Error("the file has not followed")
		}
		if h.can.CookieLive {
			b.notReloaded(t, before)
		}
	})
}

func TestAgentLetsARemovedServerFinishItsRequests(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, _ := startFollowed(t, h)
		before := b.generation(t)
		l := startLoad(t, b.box, "a.abc.com")
		slow := startSlow(t, b.box, "server1")

		b.unregister(t, "a.abc.com/server1")
		eventually(t, "no new request goes to the server that leaves", func() error {
			left := l.served(b.a1)
			l.goesOn(t)
			if more := l.served(b.a1) - left; more > 0 {
				return fmt.Errorf("%d more", more)
			}
			return nil
		})
		slow.endsAt(t, b.a1)

		b.settles(t)
		l.endsWithoutFailure(t)
		b.notReloaded(t, before)
		b.managed(t, "a.abc.com server2="+b.a2.addr, "b.abc.com server1="+b.b1.addr)
	})
}

func TestAgentReplacesTheOnlyHostOfADomainWithoutAFailedRequest(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, _ := startFollowed(t, h)
		before := b.generation(t)
		l := startLoad(t, b.box, "b.abc.com")
		have := b.b1
		for i, name := range []string{"server2", "server3", "server1"} {
			next := startHost(t, "next "+name)
			was := []string{"server1", "server2", "server3"}[i]
			b.txn(t, addrOf(t, "b.abc.com/"+name, next.addr), "b.abc.com/"+was+"/")
			b.comes(t, "b.abc.com", name, next)
			b.comes(t, "b.abc.com", was, next)
			l.goesOn(t)
			have = next
		}
		b.settles(t)
		l.endsWithoutFailure(t)
		b.serves(t, "b.abc.com", "", have)
		if h.can.CookieLive {
			b.notReloaded(t, before)
		}
		b.managed(t, "a.abc.com server1="+b.a1.addr+" server2="+b.a2.addr, "b.abc.com server1="+have.addr)
	})
}
