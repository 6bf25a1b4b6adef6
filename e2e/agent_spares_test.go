package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// answersAs asks for a domain until the context ends, and returns an error once it is answered by anyone but the host of the domain's name, or as
// unknown.
func answersAs(ctx context.Context, web, name string) error {
	client := harness.Client{Addr: web}
	defer client.Close()
	for ctx.Err() == nil {
		got, err := client.Get(name, "", "keep-alive")
		switch {
		case got.Status == http.StatusServiceUnavailable, got.Status == http.StatusOK && got.Body == name:
		case got.Status == http.StatusOK:
			return fmt.Errorf("%s is answered by %s", name, got.Body)
		default:
			return fmt.Errorf("%s: %s, %w", name, got, err)
		}
	}
	return nil
}

// TestASpareBackendServesOneDomainAtATime has clients of two domains ask all the time, while one goes and the other one comes in its spare backend.
func TestASpareBackendServesOneDomainAtATime(t *testing.T) {
	eachSpare(t, func(t *testing.T, h haproxy) {
		b := startSpares(t, h, "HAPSYNC_SPARE_BACKENDS=1")
		a := b.startAgent(t)
		a.ready(t)
		before := b.generation(t)
		hosts := map[string]*host{"c.abc.com": startHost(t, "c.abc.com"), "d.abc.com": startHost(t, "d.abc.com")}
		others := startLoad(t, b.box, "a.abc.com")
		ctx, stop := context.WithCancel(t.Context())
		wrong := make(chan error, len(hosts))
		for name := range hosts {
			go func() { wrong <- answersAs(ctx, b.web, name) }()
		}
		for range 3 {
			for _, name := range []string{"c.abc.com", "d.abc.com"} {
				b.txn(t, addrOf(t, name+"/server1", hosts[name].addr))
				b.comes(t, name, "server1", hosts[name])
				b.inSpares(t, "1/server1")
				b.unregister(t, name)
				b.fetches(t, name, http.StatusServiceUnavailable)
				b.settles(t)
				b.inSpares(t)
			}
		}
		stop()
		for range hosts {
			if err := <-wrong; err != nil {
				t.Error(err)
			}
		}
		others.endsWithoutFailure(t)
		b.notReloaded(t, before)
	})
}

func TestARestartedAgentKnowsItsSpareBackendsAndTheReloadKeepsAllOfThem(t *testing.T) {
	eachSpare(t, func(t *testing.T, h haproxy) {
		b := startSpares(t, h)
		a := b.startAgent(t)
		a.ready(t)
		before := b.generation(t)
		c1, c2, dead := startHost(t, "c.abc.com server1"), startHost(t, "c.abc.com server2"), freeAddr(t)
		puts := addrOf(t, "c.abc.com/server1", c1.addr)
		maps.Copy(puts, addrOf(t, "c.abc.com/server3", dead))
		b.txn(t, puts)
		b.comes(t, "c.abc.com", "server1", c1)
		a.logs(t, 0, "domain=c.abc.com", "backend=hapsync-spare-1")
		a.kill(t)
		a = b.startAgent(t)
		a.ready(t)
		b.settles(t)
		puts = addrOf(t, "c.abc.com/server2", c2.addr)
		puts["c.abc.com/server2/weight"] = "7"
		b.txn(t, puts)
		b.comes(t, "c.abc.com", "server2", c2)
		b.settles(t)
		b.inSpares(t, "1/server1", "1/server2", "1/server3")
		eventually(t, "HAProxy finds the dead host", func() error {
			if status, _ := b.stat("hapsync-spare-1", "server3", "status"); status != "DOWN" {
				return fmt.Errorf("it is %q", status)
			}
			return nil
		})
		b.notReloaded(t, before)

		load, sticks := startLoad(t, b.box, "c.abc.com"), startLoadOf(t, b.box, "c.abc.com", "server2")
		b.put(t, "a.abc.com/balance", "leastconn") // which takes a reload
		eventually(t, "the reload is made", func() error {
			if now := b.generation(t); now.reloads != before.reloads+1 {
				return fmt.Errorf("%+v", now)
			}
			return nil
		})
		eventually(t, "the new worker answers", func() error {
			status, there := b.stat("c.abc.com_cluster", "server3", "status")
			if there && status != "DOWN" {
				t.Fatalf("the dead host is %q after the reload", status)
			}
			if !there {
				return errors.New("the old one does")
			}
			return nil
		})
		load.goesOn(t)
		load.endsWithoutFailure(t)
		sticks.endsWithoutFailure(t)
		if n := sticks.served(c1); n > 0 {
			t.Errorf("%d requests with the cookie of server2 went to server1", n)
		}
		b.settles(t)
		b.inSpares(t)
		b.eventuallyWeighs(t, "c.abc.com_cluster/server2", "7 ")

		before = b.generation(t)
		d1 := b.newDomain(t, "d.abc.com")
		b.comes(t, "d.abc.com", "server1", d1)
		b.settles(t)
		b.notReloaded(t, before)
		b.reload(t) // somebody else's
		b.comes(t, "d.abc.com", "server1", d1)
		b.settles(t)
		b.inSpares(t)
		e1 := b.newDomain(t, "e.abc.com")
		b.comes(t, "e.abc.com", "server1", e1)
		b.inSpares(t, "1/server1")
		b.settles(t)
		b.master.end(t)
		b.start(t)
		b.comes(t, "e.abc.com", "server1", e1)
		b.comes(t, "c.abc.com", "server2", c2)
		b.settles(t)
		b.inSpares(t)
	})
}

func TestAServerThatAnOperatorPutsIntoASpareBackendTakesTheReload(t *testing.T) {
	eachSpare(t, func(t *testing.T, h haproxy) {
		b := startSpares(t, h, "HAPSYNC_SPARE_BACKENDS=1")
		a := b.startAgent(t)
		a.ready(t)
		mine := startHost(t, "mine")
		before := b.generation(t)
		b.commands(t, "add server hapsync-spare-1/mine "+mine.addr, "enable server hapsync-spare-1/mine")
		c1 := b.newDomain(t, "c.abc.com")
		eventually(t, "c.abc.com is served", func() error {
			got := b.ask(t, "c.abc.com", "")
			if got.body == mine.name {
				t.Fatal("a request went to the operator's server")
			}
			if got.body != c1.name {
				return fmt.Errorf("got %s", got)
			}
			return nil
		})
		b.settles(t)
		b.reloadedOnce(t, before)
	})
}

func TestAgentsAndSyncsTakeNoSpareBackendTwice(t *testing.T) {
	eachSpare(t, func(t *testing.T, h haproxy) {
		b := startSpares(t, h, "HAPSYNC_SPARE_BACKENDS=20")
		a := b.startAgent(t)
		a.ready(t)
		before := b.generation(t)
		hosts := map[string]*host{}
		for i := range 3 {
			for _, name := range []string{"c%d.abc.com", "d%d.abc.com", "e%d.abc.com"} {
				name = fmt.Sprintf(name, i)
				hosts[name] = b.newDomain(t, name)
			}
			if o := b.hapsync(t, "sync"); o.code != 0 && !strings.Contains(o.stderr, "is at work") {
				t.Errorf("%s", o)
			}
		}
		for name, h := range hosts {
			b.comes(t, name, "server1", h)
		}
		b.settles(t)
		b.notReloaded(t, before)
		reply, err := b.runtime("show map " + b.mapFile())
		led := map[string]bool{}
		for l := range strings.Lines(reply) {
			if w := strings.Fields(l); len(w) == 3 {
				led[w[2]] = true
			}
		}
		if err != nil || len(led) != len(hosts) {
			t.Errorf("%d domains are in %d backends: %q, %v", len(hosts), len(led), reply, err)
		}
	})
}

// TestASpareBackendIsFreeAgainAfterAHostThatAnswersNoCheck has one, and one with a session, in a domain that goes.
func TestASpareBackendIsFreeAgainAfterAHostThatAnswersNoCheck(t *testing.T) {
	eachSpare(t, func(t *testing.T, h haproxy) {
		b := startSpares(t, h, "HAPSYNC_SPARE_BACKENDS=1")
		a := b.startAgent(t)
		a.ready(t)
		endless, end := startEndless(t, "endless")
		b.txn(t, addrOf(t, "c.abc.com/server1", endless.addr))
		b.comes(t, "c.abc.com", "server1", endless)
		b.txn(t, addrOf(t, "c.abc.com/server7", startHung(t)))
		b.inSpares(t, "1/server1", "1/server7")
		b.settles(t)
		b.startSession(t, "c.abc.com", "server1")
		skip := len(a.printed())
		b.unregister(t, "c.abc.com")
		b.inSpares(t, "1/server1")
		a.logs(t, skip, "msg=draining", "server=c.abc.com/server1")
		end()
		b.inSpares(t)
		a.logs(t, skip, "msg=removed", "backend=c.abc.com")
		b.settles(t)
		if text := a.printed()[skip:]; strings.Count(text, "msg=removed backend=c.abc.com via=runtime") != 1 {
			t.Errorf("the agent logs\n%s", text)
		}
	})
}

// startHung is the address of a host that takes no connection and refuses none: its queue is full.
func startHung(t *testing.T) (addr string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	inet, ok := name.(*syscall.SockaddrInet4)
	if err != nil || !ok {
		t.Fatal(name, err)
	}
	addr = fmt.Sprintf("127.0.0.1:%d", inet.Port)
	for { // until one more is not taken
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}
