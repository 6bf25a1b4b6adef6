package etcd

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
)

func TestOneOfManyRegistrationsThatClaimANameAtOnceGetsIt(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	const rounds, claimants = 5, 8
	for round := range rounds {
		var all []*registered
		for i := range claimants {
			conf := server1()
			conf.Host.Name = fmt.Sprintf("server%d", round)
			conf.Host.Addr = netip.AddrPortFrom(conf.Host.Addr.Addr(), uint16(10000+i))
			all = append(all, register(t, client, etcd, conf))
		}
		var winner *registered
		refused := 0
		until(t, "all but one are refused", func() bool {
			winner, refused = nil, 0
			for _, g := range all {
				select {
				case <-g.done:
					refused++
				default:
					winner = g
				}
			}
			return refused >= claimants-1
		})
		if winner == nil {
			t.Fatal("nobody has the name")
		}
		winner.comes(t, fmt.Sprintf("ip=10.0.0.1 port=%d state=ready", winner.conf.Host.Addr.Port()))
		for _, g := range all {
			var held *HeldError
			if g != winner && (!errors.As(g.err, &held) || held.Addr != winner.conf.Host.Addr.String()) {
				t.Errorf("got %v, want that %s has the name", g.err, winner.conf.Host.Addr)
			}
		}
	}
}
