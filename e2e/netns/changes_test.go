package netns

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Changes change the registry at random, and know what it says. Names of hosts and domains are few, so that what is gone
// comes back soon, and different.
type changes struct {
	t       *testing.T
	site    *site
	random  *rand.Rand
	domains map[string]map[string]host
	options map[string]int // how often those of a domain have changed
}

// A host is one of the registry.
type host struct {
	at    *web
	state string
}

const (
	fewDomains, manyDomains = 3, 8
	manyHosts               = 6 // of a domain
	manyOptions             = 3 // changes of a domain: more of them have to wait ever longer for a reload
)

func newChanges(t *testing.T, s *site, seed uint64) *changes {
	t.Helper()
	c := &changes{t: t, site: s, random: rand.New(rand.NewPCG(seed, 0)), domains: map[string]map[string]host{}, options: map[string]int{}}
	for range fewDomains {
		c.addHost()
	}
	return c
}

func (c *changes) change() {
	all := []struct {
		share int
		make  func()
	}{
		{30, c.addHost}, {20, c.moveHost}, {10, c.weigh}, {12, c.setState}, {15, c.removeHost}, {3, c.removeDomain}, {5, c.balance}, {5, c.check},
	}
	total := 0
	for _, kind := range all {
		total += kind.share
	}
	at := c.random.IntN(total)
	for _, kind := range all {
		if at -= kind.share; at < 0 {
			kind.make()
			return
		}
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// host is one at random.
func (c *changes) host() (domain, name string) {
	domain = pick(c.random, slices.Sorted(maps.Keys(c.domains))...)
	return domain, pick(c.random, slices.Sorted(maps.Keys(c.domains[domain]))...)
}

// addHost adds a host, to a new domain where there are few; one that is there moves.
func (c *changes) addHost() {
	domain := fmt.Sprintf("d%d.abc.com", c.random.IntN(manyDomains))
	if c.domains[domain] == nil {
		c.domains[domain] = map[string]host{}
	}
	c.put(domain, fmt.Sprintf("s%d", c.random.IntN(manyHosts)))
}

func (c *changes) moveHost() { c.put(c.host()) }

func (c *changes) put(domain, name string) {
	h := c.domains[domain][name]
	h.at = pick(c.random, c.site.web...)
	c.site.etcd.put(c.t, domain+"/"+name, h.at.ip)
	c.domains[domain][name] = h
}

func (c *changes) set(key, value string) {
	c.site.etcd.txn(c.t, clientv3.OpPut(prefix+key, value))
}

func (c *changes) weigh() {
	domain, name := c.host()
	c.set(domain+"/"+name+"/weight", fmt.Sprint(c.random.IntN(257)))
}

func (c *changes) setState() {
	domain, name := c.host()
	h := c.domains[domain][name]
	h.state = pick(c.random, "ready", "ready", "drain", "maint")
	c.set(domain+"/"+name+"/state", h.state)
	c.domains[domain][name] = h
}

func (c *changes) removeHost() {
	domain, name := c.host()
	if len(c.domains[domain]) == 1 {
		return
	}
	c.site.etcd.remove(c.t, domain+"/"+name)
	delete(c.domains[domain], name)
}

func (c *changes) removeDomain() {
	if len(c.domains) <= fewDomains {
		return
	}
	domain, _ := c.host()
	c.site.etcd.remove(c.t, domain)
	delete(c.domains, domain)
}

func (c *changes) balance() {
	c.option("balance", pick(c.random, "roundrobin", "leastconn", "first", "source"))
}

func (c *changes) check() {
	c.option("check", pick(c.random, "tcp", "off", "/health"))
}

func (c *changes) option(key, value string) {
	domain, _ := c.host()
	if c.options[domain]++; c.options[domain] <= manyOptions {
		c.set(domain+"/"+key, value)
	}
}
