package etcd

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"pgregory.net/rapid"

	"github.com/hapsync/hapsync/registry"
)

func (g *registered) set(t *testing.T, attribute, value string) {
	t.Helper()
	if _, err := g.client.SetHost(t.Context(), "a.abc.com", "server1", attribute, value); err != nil {
		t.Fatal(err)
	}
}

func TestOperatorsKeysEndWithTheLeaseAndOutliveItsLoss(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	g := register(t, client, etcd, server1())
	g.comes(t, ready)
	g.set(t, "state", "maint")
	g.set(t, "weight", "9")
	const theirs = "ip=10.0.0.1 port=10000 state=maint weight=9"
	lease := g.comes(t, theirs)
	if lease == 0 {
		t.Error("the keys are not under one lease")
	}
	g.revoke(t, lease)
	if again := g.comes(t, theirs); again == lease {
		t.Error("the lease is the old one")
	}
	g.set(t, "state", "ready")
	g.comes(t, "ip=10.0.0.1 port=10000 state=ready weight=9")
}

func TestHealthChangesOnlyTheStateThatItSet(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	g := register(t, client, etcd, server1())
	const maint = "ip=10.0.0.1 port=10000 state=maint"
	g.comes(t, ready)
	g.SetHealth(registry.Maint)
	g.revoke(t, g.comes(t, maint))
	until(t, "it comes back in maintenance", func() bool { got, _ := g.keys(t); return got == maint })
	g.SetHealth(registry.Ready)
	g.comes(t, ready)

	for _, state := range []string{"maint", "drain"} {
		g.SetHealth(registry.Maint)
		g.comes(t, maint)
		g.set(t, "state", state) // an operator's from now on
		for _, health := range []registry.HostState{registry.Ready, registry.Maint, registry.Ready} {
			g.SetHealth(health)
			over := time.After(50 * time.Millisecond) // nothing to wait for: nothing is to happen
			<-over
		}
		g.revoke(t, g.comes(t, "ip=10.0.0.1 port=10000 state="+state))
		g.comes(t, "ip=10.0.0.1 port=10000 state="+state)
		g.SetHealth(registry.Maint)
		g.set(t, "state", "ready") // leaves it to the health
		g.comes(t, maint)
		g.SetHealth(registry.Ready)
		g.comes(t, ready)
	}
}

func TestStateThatWasThereBeforeTheHostStands(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	put(t, etcd, client.conf.Prefix, "/a.abc.com/server1/state drain")
	g := register(t, client, etcd, server1())
	lease := g.comes(t, "ip=10.0.0.1 port=10000 state=drain")
	if lease == 0 {
		t.Error("the state is not under the lease")
	}
	g.SetHealth(registry.Maint)
	g.SetHealth(registry.Ready)
	g.comes(t, "ip=10.0.0.1 port=10000 state=drain")
}

func TestDeregisteredHostStaysOut(t *testing.T) {
	t.Parallel()
	for _, health := range []registry.HostState{registry.Ready, registry.Maint} {
		t.Run("whose check says "+string(health), func(t *testing.T) {
			t.Parallel()
			deregisteredStaysOut(t, health)
		})
	}
}

func deregisteredStaysOut(t *testing.T, health registry.HostState) {
	client, etcd := onEtcd(t)
	g := register(t, client, etcd, server1())
	lease := g.comes(t, ready)
	g.SetHealth(health)
	g.comes(t, "ip=10.0.0.1 port=10000 state="+string(health))
	if _, _, err := client.Deregister(t.Context(), "a.abc.com", "server1", 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	g.SetHealth(registry.Ready)
	over := time.After(time.Second)
	<-over
	if got, _ := g.keys(t); got != "" {
		t.Errorf("it is back: %s", got)
	}
	if left, err := client.leaseLeft(t.Context(), clientv3.LeaseID(lease)); err != nil || left == 0 {
		t.Errorf("the lease is gone: %v", err)
	}
	g.leave(t, 0)
	register(t, client, etcd, server1()).comes(t, ready)
}

func TestOperatorNeedsAHost(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	if _, err := client.SetHost(t.Context(), "a.abc.com", "server1", "state", "maint"); !errors.Is(err, ErrNoHost) {
		t.Errorf("got %v", err)
	}
	if _, _, err := client.Deregister(t.Context(), "a.abc.com", "server1", 0); !errors.Is(err, ErrNoHost) {
		t.Errorf("got %v", err)
	}
	if s := snapshot(t, client); s.Keys != 0 {
		t.Errorf("there are %d keys", s.Keys)
	}
	put(t, etcd, client.conf.Prefix, "/a.abc.com/server1/ip 10.0.0.1\n/a.abc.com/server1/port 10000")
	if _, err := client.SetHost(t.Context(), "A.abc.com", "server1", "weight", "7"); err != nil {
		t.Error(err)
	}
	if _, err := client.SetHost(t.Context(), "a.abc.com", "server1", "weight", "257"); err == nil {
		t.Error("a bad weight was written")
	}
	if s := snapshot(t, client); s.Domains[0].Hosts[0].Weight != 7 {
		t.Errorf("the registry has %+v", s.Domains)
	}
	if _, _, err := client.Deregister(t.Context(), "a.abc.com", "server1", 0); err != nil {
		t.Error(err)
	}
	if s := snapshot(t, client); s.Keys != 0 {
		t.Errorf("there are %d keys", s.Keys)
	}
}

func TestParseHostIsDecode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := map[string]string{
			"ip":   rapid.SampledFrom([]string{"10.0.0.1", "fd00::1", "::ffff:10.0.0.1", "0.0.0.0", "x", "10.0.0.1\n", ""}).Draw(t, "ip"),
			"port": rapid.SampledFrom([]string{"1", "65535", "0", "65536", "010", "-1", "80;x"}).Draw(t, "port"),
		}
		for attribute, some := range map[string][]string{
			"weight": {"0", "256", "257", "1 ", "+1"}, "maxconn": {"0", "1000000", "1000001", "\x00"},
			"backup": {"true", "false", "yes"}, "state": {"ready", "drain", "maint", "down"},
		} {
			if rapid.Bool().Draw(t, "has "+attribute) {
				values[attribute] = rapid.SampledFrom(some).Draw(t, attribute)
			}
		}
		name := rapid.SampledFrom([]string{"server1", "a b", "", "x/y", "ä"}).Draw(t, "name")
		var kvs []registry.KeyValue
		for _, attribute := range slices.Sorted(maps.Keys(values)) {
			kvs = append(kvs, registry.KeyValue{Key: "/p/a.abc.com/" + name + "/" + attribute, Value: values[attribute]})
		}
		domains, problems, ignored := registry.Decode("/p", kvs, registry.Addresses{})
		host, err := registry.ParseHost(name, values)
		if (err == nil) != (len(problems) == 0 && ignored.Keys == 0) {
			t.Fatalf("%q: ParseHost says %v, Decode %+v", values, err, problems)
		}
		if err != nil {
			return
		}
		decoded := domains[0].Hosts[0]
		decoded.Unset.State = false // what is registered always has one
		if host != decoded {
			t.Fatalf("ParseHost says %+v, Decode %+v", host, decoded)
		}
		if again, err := registry.ParseHost(name, host.Values()); err != nil || again != host {
			t.Fatalf("%+v became %+v, %v", host, again, err)
		}
	})
}

// TestAnOperatorsChangeJustBeforeTheLeaseEndsIsKept has the event of the change, and the deletion by the lease, wait in the watch when the
// registration learns that its lease has ended.
func TestAnOperatorsChangeJustBeforeTheLeaseEndsIsKept(t *testing.T) {
	t.Parallel()
	const path, lease = "/services/web/a.abc.com/s1", 7
	key := func(attribute, value string, version int64) *clientv3.Event {
		return &clientv3.Event{Kv: &mvccpb.KeyValue{Key: []byte(path + "/" + attribute), Value: []byte(value), Version: version, Lease: lease, ModRevision: 10 + version}}
	}
	have := hostKeys{path: path, keys: map[string]hostKey{}}
	r := &Registration{path: path, log: slog.New(slog.DiscardHandler), want: map[string]string{}, wrote: stateWrite{"ready", 1}}
	r.lease.id = lease
	for _, event := range []*clientv3.Event{key("ip", "10.0.0.1", 1), key("port", "80", 1), key("state", "ready", 1)} {
		have.apply(event)
	}
	events := make(chan clientv3.WatchResponse, 2)
	events <- clientv3.WatchResponse{Events: []*clientv3.Event{key("state", "drain", 2)}}
	gone := key("ip", "", 3)
	gone.Type = mvccpb.Event_DELETE
	events <- clientv3.WatchResponse{Events: []*clientv3.Event{gone}}
	r.observeRest(events, &have)
	if r.state != "drain" || len(events) > 0 {
		t.Errorf("state %q, %d events are left", r.state, len(events))
	}
}
