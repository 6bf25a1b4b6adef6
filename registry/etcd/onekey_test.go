package etcd

import (
	"errors"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const readyInOne = "=10.0.0.1:10000 state=ready"

// oneKey is server1 in one key.
func oneKey() RegistrationConfig {
	conf := server1()
	conf.Host.OneKey = true
	return conf
}

func TestAHostThatIsOneKeyStaysLikeAnyOther(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	g := register(t, client, etcd, oneKey())
	lease := g.comes(t, readyInOne)
	if _, err := etcd.Put(t.Context(), g.path+"-b", "10.0.0.9:80"); err != nil { // a neighbour in etcd's order
		t.Fatal(err)
	}
	g.revoke(t, lease)
	until(t, "there is a new lease", func() bool {
		kv, err := etcd.Get(t.Context(), g.path)
		return err == nil && len(kv.Kvs) == 1 && kv.Kvs[0].Lease != lease
	})
	if _, err := etcd.Delete(t.Context(), g.path); err != nil {
		t.Fatal(err)
	}
	until(t, "the key is back", func() bool {
		kv, err := etcd.Get(t.Context(), g.path)
		return err == nil && len(kv.Kvs) == 1
	})
	g.leave(t, 0)
	if page, err := etcd.Get(t.Context(), g.path, clientv3.WithPrefix()); err != nil || len(page.Kvs) != 1 || string(page.Kvs[0].Key) != g.path+"-b" {
		t.Errorf("etcd has %v, %v", page, err)
	}
}

func TestANameIsOneWhateverItsForm(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	for _, forms := range [][2]RegistrationConfig{{server1(), oneKey()}, {oneKey(), server1()}} {
		want := map[bool]string{true: readyInOne, false: ready}
		first := register(t, client, etcd, forms[0])
		first.comes(t, want[forms[0].Host.OneKey])
		var held *HeldError
		if err := register(t, client, etcd, forms[1]).refused(); !errors.As(err, &held) || held.Addr != "10.0.0.1:10000" {
			t.Errorf("got %v", err)
		}
		first.end()
		forms[1].Replace, forms[1].ReplaceAt = true, nil
		forms[1].ReplaceAt = append(forms[1].ReplaceAt, forms[0].Host.Addr.Addr())
		second := register(t, client, etcd, forms[1])
		second.comes(t, want[forms[1].Host.OneKey])
		second.leave(t, 0)
		second.comes(t, "")
	}
}
