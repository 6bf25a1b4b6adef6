package e2e

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A fleet is some hosts of a domain that hapsync register keeps in an etcd of their own.
type fleet struct {
	*box
	etcd    *ownEtcd
	agent   *agent
	hosts   []*host
	keepers []*process
}

const fleetDomain = "fleet.abc.com"

func serverName(i int) string { return fmt.Sprintf("server%d", i) }

// startFleet starts more hosts than the safeguard against mass removal lets go.
func startFleet(t *testing.T, h haproxy, ttl time.Duration) *fleet {
	t.Helper()
	f := &fleet{box: startBox(t, h), etcd: newEtcd(t)}
	f.env = append(f.env, "HAPSYNC_ENDPOINTS="+f.etcd.listen.String(), "HAPSYNC_DIAL_TIMEOUT=1s")
	for i := range 7 {
		h := startHost(t, serverName(i))
		f.hosts = append(f.hosts, h)
		f.keepers = append(f.keepers, f.startRegister(t, fleetDomain+"/"+h.name, h.addr, "--ttl", ttl.String()))
	}
	f.inAgain(t)
	f.agent = f.startAgent(t, soon...)
	f.agent.ready(t)
	for _, h := range f.hosts {
		f.comes(t, fleetDomain, h.name, h)
	}
	return f
}

// inAgain waits until all hosts are in the registry.
func (f *fleet) inAgain(t *testing.T) {
	t.Helper()
	for _, h := range f.hosts {
		f.becomes(t, h.name, "ready")
	}
}

// becomes waits until a host is in the registry with a state; "" for none.
func (f *fleet) becomes(t *testing.T, name, state string) {
	t.Helper()
	eventually(t, name+" is in the registry as "+state, func() error {
		if keys, _ := keysOf(t, f.etcd.client, f.box, fleetDomain+"/"+name); keys["state"] != state {
			return fmt.Errorf("got %v", keys)
		}
		return nil
	})
}

// leases are those of the hosts.
func (f *fleet) leases(t *testing.T) (leases []int64) {
	t.Helper()
	for _, h := range f.hosts {
		_, lease := keysOf(t, f.etcd.client, f.box, fleetDomain+"/"+h.name)
		leases = append(leases, lease)
	}
	return leases
}

// cut makes a machine go away for as long as its leases need to end, and come back.
func (f *fleet) cut(t *testing.T, keepers []*process, meanwhile func()) {
	t.Helper()
	for _, p := range keepers {
		p.signal(t, syscall.SIGSTOP)
	}
	meanwhile()
	for _, p := range keepers {
		p.signal(t, syscall.SIGCONT)
	}
}

// servers are those that HAProxy has.
func (f *fleet) servers() int {
	n := 0
	for _, h := range f.hosts {
		if status, ok := f.stat(fleetDomain+"_cluster", h.name, "status"); ok && strings.HasPrefix(status, "UP") {
			n++
		}
	}
	return n
}

func TestHostsComeBackWhenEtcdWasAwayForLongerThanTheirLeases(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		const ttl = 6 * time.Second
		f := startFleet(t, h, ttl)
		before, leases := f.generation(t), f.leases(t)
		l := startLoad(t, f.box, fleetDomain)
		f.etcd.stop()
		over := time.After(ttl + time.Second)
		f.agent.unready(t, "registry")
		<-over
		f.etcd.start(t)
		back := time.Now()
		f.inAgain(t)
		f.agent.ready(t)
		t.Logf("all in and ready %s after etcd was back", time.Since(back))
		lived := time.After(ttl + time.Second) // the leases that etcd has given their time again are kept alive
		<-lived
		f.inAgain(t)
		f.settles(t)
		l.endsWithoutFailure(t)
		f.notReloaded(t, before)
		if now := f.leases(t); !slices.Equal(now, leases) {
			t.Errorf("a lease has ended, and so HAProxy has dropped a host: %x, and then %x", leases, now)
		}
	})
}

func TestHostsComeBackInAnEtcdThatHasLostEverything(t *testing.T) {
	t.Parallel()
	f := startFleet(t, firstHAProxy(t), 10*time.Second)
	before := f.generation(t)
	l := startLoad(t, f.box, fleetDomain)
	f.etcd.stop()
	if err := os.RemoveAll(f.etcd.dir); err != nil {
		t.Fatal(err)
	}
	f.etcd.start(t)
	back := time.Now()
	f.inAgain(t)
	took := time.Since(back)
	f.agent.ready(t)
	f.settles(t)
	l.endsWithoutFailure(t)
	f.notReloaded(t, before)
	if n := f.servers(); n != len(f.hosts) {
		t.Errorf("HAProxy has %d servers", n)
	}
	t.Logf("all in again after %s", took)
}

func TestHostsThatAllExpireComeBack(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		f := startFleet(t, h, 2*time.Second)
		leases := f.leases(t)
		f.cut(t, f.keepers, func() {
			for _, h := range f.hosts {
				f.becomes(t, h.name, "")
			}
			f.agent.unready(t, "held")
		})
		back := time.Now()
		f.inAgain(t)
		t.Logf("all in again after %s", time.Since(back))
		f.agent.ready(t)
		for _, h := range f.hosts {
			f.comes(t, fleetDomain, h.name, h)
		}
		f.settles(t)
		for i, lease := range f.leases(t) {
			if slices.Contains(leases, lease) {
				t.Errorf("%s has its old lease", serverName(i))
			}
		}
	})
}

func TestSomeHostsThatExpireLeaveHAProxyAndComeBack(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		f := startFleet(t, h, 2*time.Second)
		l := startLoad(t, f.box, fleetDomain)
		const some = 2
		f.cut(t, f.keepers[:some], func() {
			eventually(t, "HAProxy has the others only", func() error {
				if n := f.servers(); n != len(f.hosts)-some {
					return fmt.Errorf("it has %d", n)
				}
				return nil
			})
		})
		f.inAgain(t)
		for _, h := range f.hosts {
			f.comes(t, fleetDomain, h.name, h)
		}
		f.agent.ready(t)
		f.settles(t)
		l.endsWithoutFailure(t)
	})
}

func TestHostIsRegisteredWhenEtcdComesLate(t *testing.T) {
	t.Parallel()
	e := newEtcd(t)
	b := newBox(t, firstHAProxy(t))
	b.env = append(b.env, "HAPSYNC_ENDPOINTS="+e.listen.String(), "HAPSYNC_DIAL_TIMEOUT=1s")
	e.stop()
	h := startHost(t, "a.abc.com")
	for i, flags := range [][]string{nil, {"--user", "hapsync:secret"}} { // a user is logged in at once
		p := b.startRegister(t, fleetDomain+"/"+serverName(i), h.addr, flags...)
		p.Eventually(t, "it says what it waits for", func() error {
			if text := p.printed(); !strings.Contains(text, "has to wait for etcd") || !strings.Contains(text, e.listen.Host) {
				return errors.New(text)
			}
			return nil
		})
	}
	e.start(t)
	f := &fleet{box: b, etcd: e}
	f.becomes(t, "server0", "ready")
	f.becomes(t, "server1", "ready") // etcd without auth takes anybody
}

func TestHostLeavesThoughEtcdIsAway(t *testing.T) {
	t.Parallel()
	e := newEtcd(t)
	b := newBox(t, firstHAProxy(t))
	b.env = append(b.env, "HAPSYNC_ENDPOINTS="+e.listen.String(), "HAPSYNC_DIAL_TIMEOUT=1s")
	h := startHost(t, "a.abc.com")
	f := &fleet{box: b, etcd: e}
	p := b.startRegister(t, fleetDomain+"/"+serverName(0), h.addr, "--", "sleep", "1000")
	f.becomes(t, "server0", "ready")
	e.stop()
	p.signal(t, syscall.SIGTERM)
	if code := p.code(t); code != 128+15 {
		t.Errorf("hapsync ended with %d", code)
	}
	says(t, p.printed(), "the host leaves when its lease runs out")
}

func TestHAProxyGetsNoAddressOfTwoWriters(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		stays, a := startHost(t, "stays"), startHost(t, "taken")
		b.register(t, "a.abc.com/server1", stays.addr)
		b.startAgent(t)
		p := b.startRegister(t, "a.abc.com/server2", a.addr)
		b.comes(t, "a.abc.com", "server2", a)
		key := b.prefix + "/a.abc.com/server2/ip"
		if _, err := world.etcd.client.Put(t.Context(), key, "127.0.0.9"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the host is out of HAProxy", func() error {
			at, there := b.stat("a.abc.com_cluster", "server2", "addr")
			if strings.HasPrefix(at, "127.0.0.9") {
				t.Fatalf("HAProxy has %s", at)
			}
			if status, _ := b.stat("a.abc.com_cluster", "server2", "status"); there && !strings.HasPrefix(status, "MAINT") {
				return fmt.Errorf("it has %s, %s", at, status)
			}
			return nil
		})
		eventually(t, "it says so", func() error { return logged(p, "by the key "+key) })
		if _, err := world.etcd.client.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		b.comes(t, "a.abc.com", "server2", a)
	})
}
