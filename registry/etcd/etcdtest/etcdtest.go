// Package etcdtest starts an etcd within a test.
package etcdtest

import (
	"net"
	"net/url"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"
)

// Start starts an etcd of one member on a free port; it ends with the test. It returns its client URL.
func Start(t testing.TB) (*embed.Etcd, string) {
	t.Helper()
	local := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg := embed.NewConfig()
	cfg.Dir = t.TempDir()
	cfg.LogLevel = "fatal"
	cfg.UnsafeNoFsync = true
	cfg.BcryptCost = 4 // the least: a login is a second of work otherwise, under the race detector
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{local}, []url.URL{local}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{local}, []url.URL{local}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	etcd, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		t.Fatal("etcd is not ready after 30 s")
	}
	return etcd, "http://" + etcd.Clients[0].Addr().String()
}

// PutHost puts the address of a host ("domain/host") below the default prefix.
func PutHost(t testing.TB, etcd *embed.Etcd, name, addr string) {
	t.Helper()
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"ip": ip, "port": port} {
		put := &etcdserverpb.PutRequest{Key: []byte("/services/web/" + name + "/" + key), Value: []byte(value)}
		if _, err := etcd.Server.Put(t.Context(), put); err != nil {
			t.Fatal(err)
		}
	}
}
