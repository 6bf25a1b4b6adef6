package e2e

import (
	"net/http"
	"slices"
	"testing"
)

// An abc is a box that serves a.abc.com from server1 and server2, and b.abc.com from its own server1.
type abc struct {
	*box
	a1, a2, b1 *host
}

func startABC(t *testing.T, h haproxy, env ...string) abc {
	t.Helper()
	b := abc{
		box: newBox(t, h),
		a1:  startHost(t, "a.abc.com server1"),
		a2:  startHost(t, "a.abc.com server2"),
		b1:  startHost(t, "b.abc.com server1"),
	}
	if len(env) == 0 {
		b.prepare(t)
	} else { // which may be about what init writes
		b.env = append(b.env, env...)
		b.init(t)
	}
	b.start(t)
	b.register(t, "a.abc.com/server1", b.a1.addr)
	b.register(t, "a.abc.com/server2", b.a2.addr)
	b.register(t, "b.abc.com/server1", b.b1.addr)
	b.must(t, "sync")
	return b
}

func TestWalkThroughServesWhatEtcdctlPuts(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBox(t, h)
		a1, a2, b1 := startHost(t, "a.abc.com server1"), startHost(t, "a.abc.com server2"), startHost(t, "b.abc.com server1")
		b.etcdctlRegister(t, "a.abc.com/server1", a1.addr)
		b.etcdctlRegister(t, "a.abc.com/server2", a2.addr)
		b.etcdctlRegister(t, "b.abc.com/server1", b1.addr)
		b.init(t)
		b.start(t)
		b.unknown(t, "a.abc.com")
		before := b.generation(t)

		reloads(t, b.step(t), 1)

		b.reloadedOnce(t, before)
		b.managed(t, "a.abc.com server1="+a1.addr+" server2="+a2.addr, "b.abc.com server1="+b1.addr)
		b.alternates(t, "a.abc.com", a1, a2)
		b.sticks(t, "a.abc.com")
		b.serves(t, "a.abc.com", "server1", a1)
		b.serves(t, "a.abc.com", "server2", a2)
		b.serves(t, "b.abc.com", "", b1)
		b.serves(t, "B.ABC.com", "", b1)
		b.unknown(t, "unknown.abc.com")
	})
}

// etcdctlRegister puts the two keys of a host with the real etcdctl.
func (b *box) etcdctlRegister(t *testing.T, name, addr string) {
	t.Helper()
	ip, port := splitAddr(t, addr)
	b.etcdctl(t, "put", b.prefix+"/"+name+"/ip", ip)
	b.etcdctl(t, "put", b.prefix+"/"+name+"/port", port)
}

// alternates fails the test unless the hosts take turns.
func (b *box) alternates(t *testing.T, domain string, hosts ...*host) {
	t.Helper()
	var got, want []string
	for range 2 {
		for _, h := range hosts {
			want = append(want, h.name)
			a := b.ask(t, domain, "")
			if a.status != http.StatusOK {
				t.Errorf("%s: got %s", domain, a)
			}
			got = append(got, a.body)
		}
	}
	if first := slices.Index(want, got[0]); first < 0 || !slices.Equal(slices.Concat(want[first:], want[:first]), got) {
		t.Errorf("%s: got %q, not turns of %q", domain, got, want)
	}
}

// sticks fails the test unless a client that sends the cookie it was given comes back to the same host.
func (b *box) sticks(t *testing.T, domain string) {
	t.Helper()
	first := b.ask(t, domain, "")
	if first.cookie == "" {
		t.Fatalf("%s: %s sets no cookie", domain, first)
	}
	for range 5 {
		if a := b.ask(t, domain, first.cookie); a.status != http.StatusOK || a.body != first.body {
			t.Errorf("%s with cookie %q: got %s, and first %s", domain, first.cookie, a, first)
		}
	}
}

func TestMovedHostIsServedWithoutAReload(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		before := b.generation(t)
		moved := startHost(t, "a.abc.com server1, moved")
		_, port := splitAddr(t, moved.addr)
		b.put(t, "a.abc.com/server1/port", port)

		reloads(t, b.step(t), 0)

		b.serves(t, "a.abc.com", "server1", moved)
		b.alternates(t, "a.abc.com", moved, b.a2)
		b.notReloaded(t, before)
		b.managed(t, "a.abc.com server1="+moved.addr+" server2="+b.a2.addr, "b.abc.com server1="+b.b1.addr)
	})
}

func TestRemovedHostLosesNoRequest(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		before := b.generation(t)
		l := startLoad(t, b.box, "a.abc.com")
		slow := startSlow(t, b.box, "server2")
		b.unregister(t, "a.abc.com/server2")

		reloads(t, b.step(t), 0)

		slow.endsAt(t, b.a2)
		l.goesOn(t) // answers that were under way have been counted
		served := l.served(b.a2)
		if served == 0 {
			t.Error("server2 was not under load")
		}
		b.serves(t, "a.abc.com", "server2", b.a1)
		b.a2.end(t)
		l.endsWithoutFailure(t)
		if n := l.served(b.a2) - served; n != 0 {
			t.Errorf("server2 got %d requests after it was removed", n)
		}
		b.serves(t, "a.abc.com", "server2", b.a1)
		b.notReloaded(t, before)
		b.managed(t, "a.abc.com server1="+b.a1.addr, "b.abc.com server1="+b.b1.addr)
	})
}

func TestNewHostIsServedWithItsCookie(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		before := b.generation(t)
		a3 := startHost(t, "a.abc.com server3")
		l := startLoad(t, b.box, "a.abc.com")
		b.register(t, "a.abc.com/server3", a3.addr)

		said := b.step(t)
		b.serves(t, "a.abc.com", "server3", a3)

		l.endsWithoutFailure(t)
		if l.served(a3) == 0 {
			t.Error("server3 gets no request without a cookie")
		}
		if h.can.CookieLive {
			reloads(t, said, 0)
			b.notReloaded(t, before)
		} else {
			reloads(t, said, 1)
			says(t, said, "reload ", "a.abc.com_cluster/server3", "cookie")
			b.reloadedOnce(t, before)
		}
		b.managed(t, "a.abc.com server1="+b.a1.addr+" server2="+b.a2.addr+" server3="+a3.addr, "b.abc.com server1="+b.b1.addr)
	})
}

func TestNewDomainLosesNoRequest(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		c1 := startHost(t, "c.abc.com server1")
		l := startLoad(t, b.box, "a.abc.com")
		before := b.generation(t)
		slow := startSlow(t, b.box, "server2")
		idle := startIdlers(t, b.box, "a.abc.com")
		b.register(t, "c.abc.com/server1", c1.addr)

		said := b.step(t)
		idle.areServed(t, "a.abc.com")
		slow.endsAt(t, b.a2)
		b.serves(t, "c.abc.com", "", c1)
		reloads(t, said, 1)
		says(t, said, "reload ", "c.abc.com")
		b.reloadedOnce(t, before)
		l.goesOn(t)

		before = b.generation(t)
		b.unregister(t, "c.abc.com")
		reloads(t, b.step(t), 0)
		b.unknown(t, "c.abc.com")
		b.serves(t, "b.abc.com", "", b.b1)
		b.notReloaded(t, before)
		l.endsWithoutFailure(t)
		b.managed(t, "a.abc.com server1="+b.a1.addr+" server2="+b.a2.addr, "b.abc.com server1="+b.b1.addr)
	})
}
