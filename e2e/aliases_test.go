package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestADomainHasFurtherNames(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		c1 := startHost(t, "c.abc.com server1")
		b.put(t, "b.abc.com/aliases", "*.abc.com *.com WWW.b.org")
		said := b.step(t)
		reloads(t, said, 1)
		says(t, said, "~ backend b.abc.com_cluster", "also *.abc.com *.com www.b.org")
		b.put(t, "c.abc.com/server1", c1.addr)
		b.put(t, "c.abc.com/aliases", "*.shop.abc.com x.shop2.abc.com shop.abc.com")
		b.step(t)
		for name, host := range map[string]*host{
			"a.abc.com": b.a1, "b.abc.com": b.b1, "www.b.org": b.b1, "abc.com": b.b1, "x.com": b.b1, "x.abc.com": b.b1, "x.a.abc.com": b.b1,
			"c.abc.com": c1, "shop.abc.com": c1, "x.shop.abc.com": c1, "y.x.shop.abc.com": c1, "x.shop2.abc.com": c1, "y.shop2.abc.com": b.b1,
		} {
			server := ""
			if host == b.a1 {
				server = "server1"
			}
			for _, spelled := range []string{name, strings.ToUpper(name), name + ":8080"} {
				b.serves(t, spelled, server, host)
			}
		}
		for _, other := range []string{"com", "b.org", "x.www.b.org", "xcom", "shop.abc.com.evil", "x.abc.com.", "www.b.org."} {
			b.unknown(t, other)
		}
		says(t, b.must(t, "explain", "c.abc.com").stdout, "reached", "c.abc.com, *.shop.abc.com, shop.abc.com, x.shop2.abc.com with any port, in frontend webin")
		says(t, b.must(t, "explain", "c.abc.com").stdout, "options", "aliases *.shop.abc.com shop.abc.com x.shop2.abc.com")
		says(t, b.must(t, "list").stdout, "b.abc.com", "aliases *.abc.com *.com www.b.org")
		says(t, b.must(t, "list", "-o", "json").stdout, `"shop.abc.com"`)

		b.must(t, "sync", "--host-match", "exact")
		b.unknown(t, "x.shop.abc.com:8080")
		b.unknown(t, "shop.abc.com:8080")
		b.serves(t, "x.shop.abc.com", "", c1)
		b.serves(t, "shop.abc.com", "", c1)
		b.inLine(t)
		b.must(t, "sync", "--host-match", "any-port")
		b.serves(t, "x.shop.abc.com:8080", "", c1)

		b.etcdctl(t, "del", b.prefix+"/c.abc.com/aliases")
		reloads(t, b.step(t), 1)
		b.serves(t, "x.shop.abc.com", "", b.b1)
		b.etcdctl(t, "del", "--prefix", b.prefix+"/c.abc.com/")
		said = b.step(t)
		says(t, said, "reload", "requests for it are to go on to the domain with the name *.abc.com")
		b.serves(t, "c.abc.com", "", b.b1)
		b.etcdctl(t, "del", b.prefix+"/b.abc.com/aliases")
		b.step(t)
		b.unknown(t, "c.abc.com")
		if text := read(t, b.managedFile); strings.Contains(text, "# hapsync") {
			t.Errorf("lines of names are left:\n%s", text)
		}
	})
}

func TestRedirectAndMaintenanceHoldForAllNamesOfADomain(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		b.put(t, "b.abc.com/aliases", "www.b.org *.b.org")
		b.put(t, "b.abc.com/redirect-https", "true")
		b.step(t)
		for _, name := range []string{"b.abc.com", "www.b.org", "x.b.org"} {
			b.answers(t, name, http.StatusMovedPermanently)
		}
		b.put(t, "b.abc.com/maintenance", "true")
		b.step(t)
		for _, name := range []string{"b.abc.com", "www.b.org", "x.b.org"} {
			b.answers(t, name, http.StatusServiceUnavailable)
		}
		b.serves(t, "a.abc.com", "server1", b.a1)
	})
}

func TestOfTwoDomainsTheOlderKeyHasAName(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		b.put(t, "b.abc.com/aliases", "a.abc.com www.org *.org")
		b.put(t, "a.abc.com/aliases", "www.org *.org a.org b.abc.com")
		said := b.exits(t, 6, "sync").stdout
		for _, words := range [][]string{
			{"/a.abc.com/aliases:", "does not get *.org (an alias of b.abc.com already), b.abc.com (a domain of the registry itself), www.org (an alias of b.abc.com already)"},
			{"/b.abc.com/aliases:", "does not get a.abc.com (a domain of the registry itself):"},
		} {
			says(t, said, append([]string{"problem "}, words...)...)
		}
		shares := func(www, org, a *host) {
			t.Helper()
			server := map[*host]string{b.a1: "server1"}
			b.serves(t, "www.org", server[www], www)
			b.serves(t, "x.org", server[org], org)
			b.serves(t, "a.org", server[a], a)
			b.serves(t, "a.abc.com", "server1", b.a1)
			b.serves(t, "b.abc.com", "", b.b1)
		}
		shares(b.b1, b.b1, b.a1)
		b.put(t, "b.abc.com/aliases", "*.org") // the key is as old as before
		b.exits(t, 6, "sync")
		shares(b.a1, b.b1, b.a1)
		b.etcdctl(t, "del", b.prefix+"/b.abc.com/aliases")
		b.put(t, "b.abc.com/aliases", "*.org")
		b.exits(t, 6, "sync")
		shares(b.a1, b.a1, b.a1)
		b.etcdctl(t, "del", b.prefix+"/b.abc.com/aliases")
		b.put(t, "a.abc.com/aliases", "www.org *.org a.org")
		b.inLine(t)

		b.put(t, "a.abc.com/aliases", "www.org, *.org") // the last good ones stay
		says(t, b.exits(t, 6, "sync").stdout, "problem ", `name "www.org," has ","`)
		shares(b.a1, b.a1, b.a1)
		b.put(t, "a.org/server1", b.b1.addr) // but for one that becomes a domain
		b.exits(t, 6, "sync")
		shares(b.a1, b.a1, b.b1)
	})
}

func TestAnAgentFollowsNames(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		agent := b.startAgent(t)
		b.put(t, "b.abc.com/aliases", "www.org *.org")
		become := func(name string, want *host) {
			t.Helper()
			eventually(t, name+" is served", func() error {
				if a := b.ask(t, name, ""); a.status != http.StatusOK || !strings.HasPrefix(a.body, want.name) {
					return fmt.Errorf("got %s, want %s", a, want.name)
				}
				return nil
			})
		}
		become("www.org", b.b1)
		become("x.org", b.b1)
		for _, page := range []string{"/domains/b.abc.com", "/api/v1/domains/b.abc.com"} {
			if a, err := agent.get(page); err != nil || !strings.Contains(a.body, "aliases *.org www.org") {
				t.Errorf("%s does not have the names: %v %s", page, err, a)
			}
		}
		c1 := startHost(t, "x.org server1")
		b.put(t, "x.org/server1", c1.addr)
		become("x.org", c1)
		b.put(t, "x.org/aliases", "*.x.org *.org")
		become("y.x.org", c1)
		become("y.org", b.b1)
		b.etcdctl(t, "del", b.prefix+"/b.abc.com/aliases")
		become("y.org", c1)
		b.etcdctl(t, "del", "--prefix", b.prefix+"/x.org/server1")
		eventually(t, "x.org is unknown", func() error {
			if a := b.ask(t, "y.org", ""); a.status != http.StatusServiceUnavailable {
				return fmt.Errorf("got %s", a)
			}
			return nil
		})
	})
}

func TestLinesOfAnOperatorsKeepTheirMeaningBesideNames(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		own, other := startHost(t, "own"), startHost(t, "other")
		text := strings.Replace(read(t, b.managedFile), "\nbackend a.abc.com", "    use_backend own if { hdr(host) -i own.abc.com }\n    use_backend other if TRUE\n    use_backend other\n\nbackend own\n    server own "+own.addr+"\nbackend other\n    server other "+other.addr+"\n\nbackend a.abc.com", 1)
		b.write(t, b.managedFile, strings.Replace(text, " if TRUE", " if { path /other }", 1))
		b.must(t, "sync")
		b.put(t, "b.abc.com/aliases", "*.abc.com own.org")
		b.must(t, "sync")
		b.serves(t, "own.abc.com", "", own)
		b.serves(t, "x.abc.com", "", b.b1)
		b.serves(t, "own.org", "", b.b1)
		b.serves(t, "x.org", "", other)

		// Another ACL of a domain's without the mark is an operator's, and the domain is left alone, whatever its aliases are.
		operator(t, b.managedFile, "    acl is_a.abc.com hdr(host),host_only -i a.abc.com\n", "    acl is_a.abc.com hdr(host),host_only -i a.abc.com\n    acl is_a.abc.com hdr(host),host_only -i www.a.org\n")
		b.put(t, "a.abc.com/aliases", "www.a.org")
		before := read(t, b.managedFile)
		says(t, b.exits(t, 6, "sync").stdout, "problem ", "/a.abc.com:", "left alone")
		if after := read(t, b.managedFile); after != before {
			t.Errorf("the file was\n%s\nand is\n%s", before, after)
		}
	})
}
