package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A crowd is many hapsync register on one machine, each a process with a host of its own.
type crowd struct {
	*box
	n         int
	processes []*process
}

// startAll starts them all at once, the second time in the place of those before.
func (c *crowd) startAll(t testing.TB, flags ...string) {
	t.Helper()
	c.processes = c.processes[:0]
	for i := range c.n {
		name := fmt.Sprintf("d%d.abc.com/server%d", i/2, i)
		c.processes = append(c.processes, c.startRegister(t, name, fmt.Sprintf("10.0.%d.%d:10000", i/250, 1+i%250), flags...))
	}
}

// killAll ends them as a power cut does.
func (c *crowd) killAll(t testing.TB) {
	t.Helper()
	for _, p := range c.processes {
		p.signal(t, syscall.SIGKILL)
	}
	for _, p := range c.processes {
		p.end(t)
	}
}

// leases are those of the hosts that are in the registry, by name. Each host has all its keys under one.
func (c *crowd) leases(t testing.TB) map[string]int64 {
	t.Helper()
	page, err := world.etcd.client.Get(t.Context(), c.prefix+"/", clientv3.WithPrefix(), clientv3.WithSerializable())
	if err != nil {
		t.Fatal(err)
	}
	leases := map[string]int64{}
	for _, kv := range page.Kvs {
		name := string(kv.Key[:strings.LastIndexByte(string(kv.Key), '/')])
		if lease, known := leases[name]; known && lease != kv.Lease || kv.Lease == 0 {
			t.Fatalf("%s is under lease %x, other keys of the host under %x", kv.Key, kv.Lease, lease)
		}
		leases[name] = kv.Lease
	}
	return leases
}

// comesIn waits until each host is in the registry under a lease of its own that is none of those before.
func (c *crowd) comesIn(t testing.TB, limit time.Duration, before map[string]int64) map[string]int64 {
	t.Helper()
	late, poll := time.After(limit), time.NewTicker(50*time.Millisecond)
	defer poll.Stop()
	for {
		leases, own := c.leases(t), map[int64]bool{}
		for name, lease := range leases {
			if before[name] != lease {
				own[lease] = true
			}
		}
		if len(own) == c.n {
			return leases
		}
		select {
		case <-late:
			t.Fatalf("%d of %d hosts are in the registry, %d under a new lease of their own", len(leases), c.n, len(own))
		case <-poll.C:
		}
	}
}

// putting says how long somebody else's puts have taken, from now until end is called.
func (c *crowd) putting(t testing.TB) (end func() (median, worst time.Duration)) {
	t.Helper()
	key := strings.TrimSuffix(c.prefix, "services/web") + "another"
	var took []time.Duration
	var running sync.WaitGroup
	stop := make(chan struct{})
	running.Go(func() {
		pace := time.NewTicker(10 * time.Millisecond)
		defer pace.Stop()
		for {
			began := time.Now()
			if _, err := world.etcd.client.Put(context.Background(), key, ""); err != nil {
				t.Errorf("a put of somebody else's: %v", err)
			}
			took = append(took, time.Since(began))
			select {
			case <-stop:
				return
			case <-pace.C:
			}
		}
	})
	halt := sync.OnceFunc(func() {
		close(stop)
		running.Wait()
	})
	t.Cleanup(halt)
	return func() (median, worst time.Duration) {
		halt()
		slices.Sort(took)
		return took[len(took)/2], took[len(took)-1]
	}
}

func TestHostsThatAreAllKilledAndStartedAtOnceAreInAgain(t *testing.T) {
	t.Parallel()
	const ttl = "1h" // so that nobody is in again because a lease has run out
	c := &crowd{box: newBox(t, firstHAProxy(t)), n: 50}
	began := time.Now()
	c.startAll(t, "--ttl", ttl)
	first := c.comesIn(t, 2*within, nil)
	t.Logf("%d processes are in after %s", c.n, time.Since(began))

	putting := c.putting(t)
	began = time.Now()
	c.killAll(t)
	c.startAll(t, "--ttl", ttl, "--replace")
	second := c.comesIn(t, 2*within, first)
	took := time.Since(began)
	median, worst := putting()
	t.Logf("they are in again after %s; meanwhile a put took %s, %s at most", took, median, worst)
	for _, lease := range first { // as etcd ends the leases of the dead later
		if _, err := world.etcd.client.Revoke(t.Context(), clientv3.LeaseID(lease)); err != nil {
			t.Fatal(err)
		}
	}
	for name, lease := range c.leases(t) {
		if second[name] != lease {
			t.Errorf("%s is under lease %x, was under %x", name, lease, second[name])
		}
	}
	if n := len(c.leases(t)); n != c.n {
		t.Errorf("%d of %d hosts are in the registry", n, c.n)
	}
}
