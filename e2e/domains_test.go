package e2e

import (
	"strings"
	"testing"
)

// TestABalancerServesTheDomainsThatItIsToldAlone has an agent and commands with --domains, and a registry with more.
func TestABalancerServesTheDomainsThatItIsToldAlone(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		one, two := startHost(t, "one"), startHost(t, "two")
		b.env = append(b.env, "HAPSYNC_DOMAINS=a.abc.com,*.shop.com")
		for _, host := range []string{"a.abc.com/server1", "b.abc.com/server1", "x.shop.com/server1"} {
			b.register(t, host, one.addr)
		}
		b.put(t, "a.abc.com/aliases", "b.abc.com *.com bank.com www.shop.com")
		says(t, b.exits(t, 6, "sync").stdout, "a.abc.com/aliases", "does not get *.com (not served by --domains), b.abc.com (", "bank.com (")
		b.serves(t, "www.shop.com", "", one)
		b.unknown(t, "bank.com")
		b.put(t, "a.abc.com/aliases", "www.shop.com")
		b.must(t, "sync")
		b.inLine(t)
		b.serves(t, "a.abc.com", "", one)
		b.serves(t, "x.shop.com", "", one)
		b.unknown(t, "b.abc.com")
		if o := b.must(t, "list"); strings.Contains(o.stdout, "b.abc.com") {
			t.Errorf("it lists others: %s", o)
		}

		a := b.startAgent(t)
		a.ready(t)
		b.register(t, "b.abc.com/server2", two.addr)
		b.register(t, "y.shop.com/server1", two.addr)
		b.comes(t, "y.shop.com", "", two)
		b.put(t, "y.shop.com/aliases", "*.y.shop.com *.com b.abc.com")
		b.comes(t, "z.y.shop.com", "", two)
		a.logs(t, 0, "y.shop.com/aliases", "does not get *.com (not served by --domains), b.abc.com (")
		b.unknown(t, "b.abc.com")
		b.put(t, "y.shop.com/aliases", "*.y.shop.com")
		says(t, b.must(t, "weight", "--wait", "b.abc.com/server2", "7").stdout, "applied by 1 agent") // it has nothing to do for it
		b.settles(t)
		if text := read(t, b.managedFile); strings.Contains(text, "b.abc.com") {
			t.Errorf("the file says\n%s", text)
		}
	})
}
