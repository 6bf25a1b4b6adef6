package e2e

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// policy sets what a box's hapsync takes for addresses: networks, or those of the loopback.
func (b *box) policy(networks string, loopback bool) {
	b.env = append(b.env, "HAPSYNC_ADDRESSES="+networks, fmt.Sprintf("HAPSYNC_ALLOW_LOOPBACK=%t", loopback))
}

// startElsewhere is a host on a loopback address that nothing else of the tests has.
func startElsewhere(t testing.TB, name string) *host {
	t.Helper()
	return startHostAt(t, name, strings.Replace(freeAddr(t), "127.0.0.1", "127.0.0.2", 1))
}

// An intruder is a host at an address that is not a tenant's to publish, and a part of why it is refused.
type intruder struct{ addr, reason string }

// TestATenantCannotPublishWhatIsOnTheMachine is of one who may write under a domain, with any address in the keys.
func TestATenantCannotPublishWhatIsOnTheMachine(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		at, err := url.Parse(world.etcd.endpoint(t))
		if err != nil {
			t.Fatal(err)
		}
		etcd, good := at.Host, startElsewhere(t, "good")
		for name, tt := range map[string]struct {
			networks  string
			loopback  bool
			good      string // its address; one that nobody has is not asked
			intruders func(b *box) []intruder
		}{
			"by default": {"", false, "192.0.2.1:80", func(*box) []intruder {
				return []intruder{{etcd, "loopback"}, {"169.254.169.254:80", "link-local"}, {"[64:ff9b::7f00:1]:80", "stands for 127.0.0.1"}}
			}},
			"with networks": {"127.0.0.2/32", false, good.addr, func(*box) []intruder {
				return []intruder{{etcd, "none of the networks of --addresses"}, {"10.0.0.1:80", "none of the networks"}}
			}},
			"on one machine": {"", true, good.addr, func(b *box) []intruder {
				return []intruder{{b.web, "frontend webin ("}, {b.stats, "frontend stats ("}, {"169.254.169.254:80", "link-local"}}
			}},
		} {
			t.Run(name, func(t *testing.T) {
				b := newBox(t, h)
				b.policy(tt.networks, tt.loopback)
				b.init(t)
				b.start(t)
				b.register(t, "a.abc.com/good", tt.good)
				b.must(t, "sync")
				a := b.startAgent(t)
				a.ready(t)
				intruders := tt.intruders(b)
				leftOut := func() {
					t.Helper()
					b.runs(t, "a.abc.com", "good")
					b.unknown(t, "b.abc.com")
					if tt.good == good.addr {
						b.serves(t, "a.abc.com", "", good)
					}
					for _, i := range intruders {
						if strings.Contains(read(t, b.managedFile), i.addr+" ") {
							t.Errorf("%s is in the managed file", i.addr)
						}
					}
				}
				for n, i := range intruders {
					b.register(t, fmt.Sprint("a.abc.com/evil", n), i.addr)
					b.register(t, fmt.Sprint("b.abc.com/evil", n), i.addr)
				}
				b.put(t, "a.abc.com/good/weight", "7") // the last change
				eventually(t, "the agent has applied the last change", func() error {
					got, err := b.what("a.abc.com", "good")
					if err == nil && !strings.HasPrefix(got, "weight=7 ") {
						err = errors.New(got)
					}
					return err
				})
				for n, i := range intruders {
					b.tells(t, a, 0, fmt.Sprintf("b.abc.com/evil%d/ip: address %s is refused: ", n, i.addr), i.reason)
				}
				leftOut()
				a.end(t)

				said := b.exits(t, 6, "sync").stdout + b.hapsync(t, "plan").stdout + b.must(t, "list").stdout
				for n, i := range intruders {
					key := fmt.Sprintf("a.abc.com/evil%d/ip", n)
					if strings.Count(said, key+": address "+i.addr+" is refused: ") != 3 || !hasLine(said, []string{key, i.reason}) {
						t.Errorf("%s is not named:\n%s", key, said)
					}
					says(t, b.exits(t, 7, "explain", "a.abc.com", fmt.Sprint("evil", n)).stdout, "not in rotation: ", key, i.reason)
				}
				leftOut()
				b.startAgent(t).ready(t)
				leftOut()
			})
		}
	})
}

func TestAHostWhoseAddressTurnsBadKeepsItsLastGoodOne(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBox(t, h)
		b.policy("127.0.0.2/32", false)
		b.init(t)
		b.start(t)
		one, other := startElsewhere(t, "one"), startHost(t, "other")
		b.register(t, "a.abc.com/server1", one.addr)
		b.must(t, "sync")
		a := b.startAgent(t, "--resync", "200ms")
		a.ready(t)
		b.register(t, "a.abc.com/server1", other.addr)
		b.explains(t, 0, "in rotation", "at "+one.addr, "last good values", "none of the networks")
		b.serves(t, "a.abc.com", "", one)
		a.end(t)
		b.exits(t, 6, "sync")
		b.startAgent(t).ready(t)
		b.serves(t, "a.abc.com", "", one)
		if line := b.line(t, "server1"); !strings.Contains(read(t, b.managedFile), "server server1 "+one.addr+" ") {
			t.Errorf("the managed file has another address: %s", line)
		}
	})
}

// TestASiteThatUpgradesServesOn has a host in HAProxy at an address that is refused from now on.
func TestASiteThatUpgradesServesOn(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		one := startHost(t, "one")
		b.register(t, "a.abc.com/server1", one.addr)
		b.must(t, "sync")
		before := b.generation(t)
		b.policy("", false)
		says(t, b.exits(t, 6, "sync").stdout, "problem", "server1/ip", "loopback")
		b.serves(t, "a.abc.com", "", one)
		b.notReloaded(t, before)

		b.policy("", true)
		operator(t, b.managedFile, "bind "+b.web, "bind "+b.web+","+one.addr) // HAProxy is not told
		says(t, b.exits(t, 6, "sync").stdout, "server1/ip", "frontend webin (")
		b.serves(t, "a.abc.com", "", one)
		operator(t, b.managedFile, ","+one.addr, "")
		b.unregister(t, "a.abc.com")
		b.must(t, "sync", "--allow-mass-removal")
		b.unknown(t, "a.abc.com")
	})
}
