package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestAHostIsOneKey has hosts whose address is the value of one key, as etcdctl and hapsync register write it.
func TestAHostIsOneKey(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		one, two := startHost(t, "server1"), startHost(t, "server2")
		b.etcdctl(t, "put", b.prefix+"/a.abc.com/server1", one.addr)
		b.step(t)
		b.serves(t, "a.abc.com", "server1", one)
		says(t, b.must(t, "list").stdout, "a.abc.com", "server1", one.addr, "one key")

		before := b.generation(t)
		b.put(t, "a.abc.com/server1", two.addr)
		b.step(t)
		b.serves(t, "a.abc.com", "server1", two)
		b.notReloaded(t, before)

		b.register(t, "a.abc.com/server1", one.addr)
		o := b.hapsync(t, "sync")
		if o.code != 6 {
			t.Errorf("two addresses of one host: %s", o)
		}
		says(t, o.stdout, "problem ", "/a.abc.com/server1", two.addr+" is another one")
		b.serves(t, "a.abc.com", "server1", two)
		b.etcdctl(t, "del", b.prefix+"/a.abc.com/server1")
		b.step(t)
		b.serves(t, "a.abc.com", "server1", one)
		b.notReloaded(t, before)

		b.etcdctl(t, "put", b.prefix+"/a.abc.com/server1", "oops")
		b.etcdctl(t, "del", "--prefix", b.prefix+"/a.abc.com/server1/")
		b.etcdctl(t, "put", b.prefix+"/a.abc.com/note", "no-host")
		for range 2 { // the second one with nothing to do
			o = b.hapsync(t, "sync")
			if o.code != 6 || strings.Contains(o.stdout, "problem  "+b.prefix+"/a.abc.com/note") {
				t.Errorf("a host without an address any more: %s", o)
			}
			says(t, o.stdout, "problem ", b.prefix+"/a.abc.com/server1", `"oops" is not ip:port`)
			b.serves(t, "a.abc.com", "server1", one)
		}
		says(t, b.must(t, "list").stdout, "a.abc.com", "server1", "bad")
		says(t, b.must(t, "list").stdout, "problem ", b.prefix+"/a.abc.com/server1", `"oops" is not ip:port`)
		b.etcdctl(t, "del", b.prefix+"/a.abc.com/note")
		b.etcdctl(t, "put", b.prefix+"/a.abc.com/server1", two.addr)
		b.step(t)
		b.serves(t, "a.abc.com", "server1", two)
		b.etcdctl(t, "put", b.prefix+"/a.abc.com/server1", one.addr)
		b.step(t)
		b.notReloaded(t, before)

		b.commandsTakeOneKey(t, "server2", two)
	})
}

// commandsTakeOneKey registers a host as one key, and has every command write it.
func (b *box) commandsTakeOneKey(t *testing.T, name string, h *host) {
	t.Helper()
	host := "a.abc.com/" + name
	p := b.startRegister(t, host, h.addr, "--one-key", "--drain", "0s")
	b.registered(t, host, "ready")
	b.onlyOneKey(t, host, h.addr)
	b.must(t, "sync")
	b.comes(t, "a.abc.com", name, h)
	b.must(t, "weight", host, "7")
	b.must(t, "maint", host)
	b.must(t, "sync")
	if state, ok := b.stat("a.abc.com_cluster", name, "status"); !ok || state != "MAINT" {
		t.Errorf("in maintenance the server is %q", state)
	}
	b.must(t, "ready", host)
	b.must(t, "sync")
	b.comes(t, "a.abc.com", name, h)
	if weight, _ := b.stat("a.abc.com_cluster", name, "weight"); weight != "7" {
		t.Errorf("the weight is %q", weight)
	}
	says(t, b.must(t, "explain", host).stdout, "key ", b.prefix+"/"+host+" = "+h.addr, "lease")
	if o := b.hapsync(t, "register", "--domain", "a.abc.com", "--host", name, "--ip", "127.0.0.1", "--port", "1"); o.code != 1 ||
		!strings.Contains(o.stderr, "registered already, at "+h.addr) {
		t.Errorf("a name that one key has was given away: %s", o)
	}
	b.must(t, "deregister", "--drain", "0s", host)
	b.registered(t, host, "")
	b.onlyOneKey(t, host, "")
	p.terminate(t)
	b.must(t, "sync")
	if _, ok := b.stat("a.abc.com_cluster", name, "status"); ok {
		t.Error("the server is still there")
	}
}

// onlyOneKey fails the test unless a host has its address in one key alone, or no key at all.
func (b *box) onlyOneKey(t *testing.T, host, addr string) {
	t.Helper()
	page, err := world.etcd.client.Get(t.Context(), b.prefix+"/"+host)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, kv := range page.Kvs {
		got = append(got, fmt.Sprintf("%s, with a lease: %t", kv.Value, kv.Lease != 0))
	}
	if want := addr + ", with a lease: true"; addr == "" && len(got) > 0 || addr != "" && (len(got) != 1 || got[0] != want) {
		t.Errorf("%s is %q", host, got)
	}
	if keys, _ := keysOf(t, world.etcd.client, b, host); keys["ip"] != "" || keys["port"] != "" {
		t.Errorf("%s has %v", host, keys)
	}
}
