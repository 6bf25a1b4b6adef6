package etcd

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
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

func TestAHostOfWhichAnotherWritesAKeyIsOutUntilThatKeyIsDeleted(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	for attribute, value := range map[string]string{"ip": "10.0.0.9", "port": "9"} {
		log := new(buffer)
		conf := server1()
		conf.Host.Name = "server-" + attribute
		conf.Logger = slog.New(slog.NewTextHandler(log, nil))
		g := register(t, client, etcd, conf)
		g.comes(t, ready)
		if _, err := client.SetHost(t.Context(), conf.Domain, conf.Host.Name, "state", "drain"); err != nil {
			t.Fatal(err)
		}
		mustPut(t, etcd, g.path+"/"+attribute, value)
		g.comes(t, attribute+"="+value)
		until(t, "it logs that, and names the key", func() bool {
			text := log.String()
			return strings.Contains(text, "the host is out until it is free") && strings.Contains(text, "by the key "+g.path+"/"+attribute) &&
				strings.Contains(text, "stay until they are deleted")
		})
		if _, err := etcd.Delete(t.Context(), g.path+"/"+attribute); err != nil {
			t.Fatal(err)
		}
		g.comes(t, "ip=10.0.0.1 port=10000 state=drain")
	}
}

func TestAHostThatAnotherTakesByTwoPutsIsAllTheOthers(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	for round := range 10 {
		conf := server1()
		conf.Host.Name = fmt.Sprintf("server%d", round)
		g := register(t, client, etcd, conf)
		g.comes(t, ready)
		mustPut(t, etcd, g.path+"/ip", "10.0.0.9")
		mustPut(t, etcd, g.path+"/port", "9")
		mustPut(t, etcd, g.path+"/weight", "3")
		g.comes(t, "ip=10.0.0.9 port=9 weight=3")
		g.end()
		if err := g.Leave(t.Context(), 0); err != nil {
			t.Error(err)
		}
		g.comes(t, "ip=10.0.0.9 port=9 weight=3")
	}
}
