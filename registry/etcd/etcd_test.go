package etcd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/hapsync/hapsync/registry"
)

// servers are the etcds of the test binary. Each starts when a test first needs it.
type servers struct {
	dir     string
	mu      sync.Mutex
	started []*embed.Etcd
	plain   func() (string, error)
	other   func() (string, error) // for those who compact, and write megabytes
	tls     func() (string, error)
	auth    func() (string, error)

	prefixes atomic.Int64
}

// prefix returns a new prefix.
func (s *servers) prefix() string { return fmt.Sprintf("/test%d", s.prefixes.Add(1)) }

var etcds servers

func TestMain(m *testing.M) {
	beEtcd()
	os.Exit(etcds.run(m))
}

func (s *servers) run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "hapsync-registry-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s.dir = dir
	s.plain = sync.OnceValues(func() (string, error) { return s.start("plain", transport.TLSInfo{}) })
	s.other = sync.OnceValues(func() (string, error) { return s.start("other", transport.TLSInfo{}) })
	s.tls = sync.OnceValues(func() (string, error) {
		if err := writeCertificates(dir); err != nil {
			return "", err
		}
		return s.start("tls", transport.TLSInfo{
			CertFile: s.path("server.crt"), KeyFile: s.path("server.key"),
			TrustedCAFile: s.path("ca.crt"), ClientCertAuth: true,
		})
	})
	s.auth = sync.OnceValues(func() (string, error) {
		at, err := s.start("auth", transport.TLSInfo{})
		if err != nil {
			return "", err
		}
		return at, enableAuth(at)
	})
	defer s.close()
	return m.Run()
}

func (s *servers) path(file string) string { return filepath.Join(s.dir, file) }

func (s *servers) close() {
	for _, etcd := range s.started {
		etcd.Close()
	}
}

// start returns the endpoint of an etcd that is ready and runs until the end.
func (s *servers) start(name string, tls transport.TLSInfo) (string, error) {
	client := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	if !tls.Empty() {
		client.Scheme = "https"
	}
	etcd, err := startEtcd(s.path(name), client, tls)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, etcd)
	return client.Scheme + "://" + etcd.Clients[0].Addr().String(), nil
}

// startEtcd returns an etcd that is ready. Two with the same name of the directory are one cluster.
func startEtcd(dir string, client url.URL, tls transport.TLSInfo) (*embed.Etcd, error) {
	conf := configure(dir, client, url.URL{Scheme: "http", Host: "127.0.0.1:0"})
	conf.ClientTLSInfo = tls
	conf.InitialCluster = conf.InitialClusterFromName(conf.Name)
	etcd, err := embed.StartEtcd(conf)
	if err != nil {
		return nil, err
	}
	return etcd, waitReady(etcd)
}

func configure(dir string, client, peer url.URL) *embed.Config {
	conf := embed.NewConfig()
	conf.Dir, conf.Name, conf.InitialClusterToken = dir, filepath.Base(dir), filepath.Base(dir)
	conf.UnsafeNoFsync, conf.BcryptCost = true, 4 // fast, not safe
	conf.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	conf.ListenClientUrls, conf.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	conf.ListenPeerUrls, conf.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	return conf
}

// waitReady closes the etcd if it does not get ready.
func waitReady(etcd *embed.Etcd) (err error) {
	select {
	case <-etcd.Server.ReadyNotify():
		return nil
	case err = <-etcd.Err():
	case <-time.After(time.Minute):
		err = errors.New("not ready after a minute")
	}
	etcd.Close()
	return fmt.Errorf("start etcd in %s: %w", etcd.Config().Dir, err)
}

// startPair returns a member of a cluster of two; it ends with the test. stopOther stops the other one, and returns when the
// first knows that it has no leader.
func startPair(t *testing.T) (first *embed.Etcd, stopOther func()) {
	t.Helper()
	var confs []*embed.Config
	var cluster []string
	for _, name := range []string{"first", "second"} {
		peer := url.URL{Scheme: "http", Host: closedPort(t)}
		conf := configure(filepath.Join(t.TempDir(), name), url.URL{Scheme: "http", Host: "127.0.0.1:0"}, peer)
		conf.InitialClusterToken = "pair"
		conf.TickMs, conf.ElectionMs = 20, 200
		confs, cluster = append(confs, conf), append(cluster, name+"="+peer.String())
	}
	var members []*embed.Etcd
	var stops []func()
	for _, conf := range confs {
		conf.InitialCluster = strings.Join(cluster, ",")
		etcd, err := embed.StartEtcd(conf)
		if err != nil {
			t.Fatal(err)
		}
		stop := sync.OnceFunc(etcd.Close)
		t.Cleanup(stop)
		members, stops = append(members, etcd), append(stops, stop)
	}
	for _, etcd := range members {
		if err := waitReady(etcd); err != nil {
			t.Fatal(err)
		}
	}
	return members[0], func() {
		stops[1]()
		for members[0].Server.Leader() != 0 {
			<-time.After(10 * time.Millisecond)
		}
	}
}

func started(t *testing.T, start func() (string, error)) string {
	t.Helper()
	at, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// writer returns etcd's own client.
func writer(t *testing.T, at string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{at}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// put writes lines of a key below the prefix and its value.
func put(t *testing.T, client *clientv3.Client, prefix, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		if words := strings.Fields(line); len(words) == 2 {
			mustPut(t, client, prefix+words[0], words[1])
		}
	}
}

func mustPut(t *testing.T, client *clientv3.Client, key, value string) {
	t.Helper()
	if _, err := client.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

func snapshot(t *testing.T, client *Client) registry.Snapshot {
	t.Helper()
	s, err := client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dial returns a client that the test closes.
func dial(t *testing.T, conf Config) *Client {
	t.Helper()
	client, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// enableAuth lets the user reader read /services/web/ and nothing else.
func enableAuth(at string) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{at}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	steps := []func() error{
		func() error { _, err := client.Put(ctx, "/services/web/a.abc.com/server1/ip", "10.0.0.1"); return err },
		func() error { _, err := client.Put(ctx, "/services/web/a.abc.com/server1/port", "10000"); return err },
		func() error { _, err := client.RoleAdd(ctx, "root"); return err },
		func() error { _, err := client.UserAdd(ctx, "root", "root-secret"); return err },
		func() error { _, err := client.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := client.RoleAdd(ctx, "hapsync"); return err },
		func() error {
			_, err := client.RoleGrantPermission(ctx, "hapsync", "/services/web/",
				clientv3.GetPrefixRangeEnd("/services/web/"), clientv3.PermissionType(clientv3.PermRead))
			return err
		},
		func() error { _, err := client.UserAdd(ctx, "reader", "s:cret"); return err },
		func() error { _, err := client.UserGrantRole(ctx, "reader", "hapsync"); return err },
		func() error { _, err := client.AuthEnable(ctx); return err },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// writeCertificates makes a CA, a server and a client that it has signed, and a CA of somebody else.
func writeCertificates(dir string) error {
	ca, err := newCertificate(dir, "ca", nil)
	if err != nil {
		return err
	}
	for _, name := range []string{"server", "client"} {
		if _, err := newCertificate(dir, name, ca); err != nil {
			return err
		}
	}
	for name, change := range map[string]func(*x509.Certificate){
		"expired-client": func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) },
		"early-client":   func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) },
	} {
		if _, err := newCertificate(dir, name, ca, change); err != nil {
			return err
		}
	}
	other, err := newCertificate(dir, "other-ca", nil)
	if err != nil {
		return err
	}
	_, err = newCertificate(dir, "other-client", other)
	return err
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newCertificate writes name.crt and name.key; without a parent, it signs itself.
func newCertificate(dir, name string, parent *authority, changes ...func(*x509.Certificate)) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         parent == nil, BasicConstraintsValid: true,
	}
	for _, change := range changes {
		change(cert)
	}
	self := &authority{cert, key}
	if parent == nil {
		parent = self
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent.cert, &key.PublicKey, parent.key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return self, errors.Join(
		writePEM(filepath.Join(dir, name+".crt"), "CERTIFICATE", der),
		writePEM(filepath.Join(dir, name+".key"), "PRIVATE KEY", private))
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
