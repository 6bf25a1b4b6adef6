package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// etcd is the registry of all tests: it starts when the first one asks for it. Each test has a prefix of its own.
type etcd struct {
	mu       sync.Mutex
	dir      string
	server   *embed.Etcd
	client   *clientv3.Client
	prefixes int
	// writing is held, together with others, by who writes; alone, by who wants the revision to stay.
	writing sync.RWMutex
}

// endpoint returns the URL of an etcd that is ready.
func (e *etcd) endpoint(t testing.TB) string {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil {
		if err := e.start(); err != nil {
			t.Fatalf("start etcd: %v", err)
		}
	}
	return "http://" + e.server.Clients[0].Addr().String()
}

// prefix returns one that nobody else has.
func (e *etcd) prefix() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.prefixes++
	return fmt.Sprintf("/e2e%d/services/web", e.prefixes)
}

func (e *etcd) start() (err error) {
	if e.dir, err = os.MkdirTemp("", "hapsync-e2e-etcd-"); err != nil {
		return err
	}
	conf := embed.NewConfig()
	conf.Dir = e.dir
	conf.UnsafeNoFsync = true // the data goes with the tests
	if e.server, err = startEmbedded(conf, "127.0.0.1:0"); err != nil {
		return err
	}
	e.client, err = clientv3.New(clientv3.Config{Endpoints: []string{e.server.Clients[0].Addr().String()}, Logger: zap.NewNop()})
	return err
}

// startEmbedded starts an etcd that listens there, and returns when it is ready.
func startEmbedded(conf *embed.Config, listen string) (*embed.Etcd, error) {
	client, peer := []url.URL{{Scheme: "http", Host: listen}}, []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	conf.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	conf.ListenClientUrls, conf.AdvertiseClientUrls = client, client
	conf.ListenPeerUrls, conf.AdvertisePeerUrls = peer, peer
	conf.InitialCluster = conf.InitialClusterFromName(conf.Name)
	server, err := embed.StartEtcd(conf)
	if err != nil {
		return nil, err
	}
	select {
	case <-server.Server.ReadyNotify():
	case err = <-server.Err():
	case <-time.After(within):
		err = errors.New("not ready in time")
	}
	return server, err
}

func (e *etcd) close() {
	if e.client != nil {
		_ = e.client.Close()
	}
	if e.server != nil {
		e.server.Close()
	}
	_ = os.RemoveAll(e.dir)
}

// put writes a key below the box's prefix, whatever bytes are in it: put(t, "a.abc.com/server1/port", "10000").
func (b *box) put(t testing.TB, key, value string) {
	t.Helper()
	world.etcd.writing.RLock()
	defer world.etcd.writing.RUnlock()
	if _, err := world.etcd.client.Put(t.Context(), b.prefix+"/"+key, value); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

// delete deletes the keys that start so, below the box's prefix.
func (b *box) delete(t testing.TB, keys string) {
	t.Helper()
	world.etcd.writing.RLock()
	defer world.etcd.writing.RUnlock()
	deleted, err := world.etcd.client.Delete(t.Context(), b.prefix+"/"+keys, clientv3.WithPrefix())
	if err != nil || deleted.Deleted == 0 {
		t.Fatalf("delete %s: %v, %v", keys, deleted, err)
	}
}

// register puts the two keys of a host ("a.abc.com/server1").
func (b *box) register(t testing.TB, host, addr string) {
	t.Helper()
	ip, port := splitAddr(t, addr)
	b.put(t, host+"/ip", ip)
	b.put(t, host+"/port", port)
}

func splitAddr(t testing.TB, addr string) (ip, port string) {
	t.Helper()
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return ip, port
}

// unregister deletes the keys of a host, or those of a domain with all its hosts.
func (b *box) unregister(t testing.TB, what string) {
	t.Helper()
	b.delete(t, what+"/")
}

// etcdctl runs the real one on the tests' etcd; keys are whole, with the box's prefix.
func (b *box) etcdctl(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), lookPath(t, "etcdctl"), args...)
	world.etcd.writing.RLock()
	defer world.etcd.writing.RUnlock()
	cmd.Env = append(cleanEnv(), "ETCDCTL_API=3", "ETCDCTL_ENDPOINTS="+world.etcd.endpoint(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}
