package netns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// TestTheRoleOfDocsIsEnoughForAnAgentAndNoMore sets etcd's auth up with the commands of docs/security.md, over TLS with client
// certificates.
func TestTheRoleOfDocsIsEnoughForAnAgentAndNoMore(t *testing.T) {
	needsRoot(t)
	n := newNetwork(t)
	s := &site{client: n.machine(t, "client", 100)}
	s.etcd = newEtcd(t, n, s.client)
	p := newPKI(t)
	m := s.etcd.members[0]
	m.startSecure(t, p)
	harness.Eventually(t, "etcd answers root", func() error { return p.ctl(t, m, "root", "etcdctl endpoint health") })
	for _, command := range []string{
		"etcdctl user add root", "etcdctl role add root", "etcdctl user grant-role root root",
		"etcdctl user add hapsync", "etcdctl role add hapsync",
		"etcdctl role grant-permission hapsync read /services/web/ --prefix",
		"etcdctl role grant-permission hapsync readwrite /hapsync/agents/ --prefix",
		"etcdctl user grant-role hapsync hapsync", "etcdctl auth enable",
	} {
		command = m.told(t, command)
		if strings.Contains(command, "user add") {
			command += ":secret" // instead of the question
		}
		if err := p.ctl(t, m, "root", command); err != nil && command != "etcdctl role add root" { // only some versions need it
			t.Fatal(err)
		}
	}
	web := newWeb(t, n, "web1", 1)
	for _, put := range []string{"ip " + web.ip, "port 80"} {
		if err := p.ctl(t, m, "root", "etcdctl put "+prefix+domainA+"/server1/"+put); err != nil {
			t.Fatal(err)
		}
		if err := p.ctl(t, m, "hapsync", "etcdctl put "+prefix+domainA+"/server2/"+put); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("the user hapsync may register hosts: %v", err)
		}
	}

	lb := newBalancer(t, n, s.etcd, usualHAProxy(t), 1)
	lb.env = append(lb.env, "HAPSYNC_ENDPOINTS="+m.secure(), "HAPSYNC_CACERT="+p.file("ca.crt"))
	if o := lb.hapsync(t, "list"); o.code != 3 {
		t.Errorf("hapsync list without a certificate: %s", o)
	}
	lb.env = append(lb.env, "HAPSYNC_CERT="+p.file("hapsync.crt"), "HAPSYNC_KEY="+p.file("hapsync.key"))
	lb.startAgent(t)
	s.comes(t, lb, domainA, "server1", web)
	lb.ready(t)
	harness.Eventually(t, "the agent's report is there", func() error {
		if o := lb.hapsync(t, "agents"); o.code != 0 || !strings.Contains(o.stdout, "lb1 ") {
			return fmt.Errorf("%s", o)
		}
		return nil
	})
	s.teamKeepsToItsDomain(t, p, lb)
}

// teamKeepsToItsDomain gives a team the role of docs/security.md, which is enough for its domain, and for no other.
func (s *site) teamKeepsToItsDomain(t *testing.T, p pki, lb *balancer) {
	t.Helper()
	m := s.etcd.members[0]
	p.issue(t, "shop")
	for _, command := range []string{
		"etcdctl user add shop", "etcdctl role add shop",
		"etcdctl role grant-permission shop readwrite /services/web/a.abc.com/ --prefix",
		"etcdctl role grant-permission shop read /hapsync/agents/ --prefix",
		"etcdctl user grant-role shop shop",
	} {
		command = m.told(t, command)
		if strings.Contains(command, "user add") {
			command += ":secret" // instead of the question
		}
		if err := p.ctl(t, m, "root", command); err != nil {
			t.Fatal(err)
		}
	}
	for _, put := range []string{"ip 10.0.0.99", "port 80"} { // an empty registry would be held
		if err := p.ctl(t, m, "shop", "etcdctl put "+prefix+domainA+"/server2/"+put); err != nil {
			t.Fatal(err)
		}
	}
	team := *lb
	team.env = append(slices.Clone(lb.env), "HAPSYNC_CERT="+p.file("shop.crt"), "HAPSYNC_KEY="+p.file("shop.key"))
	for _, command := range []string{"drain", "maint", "ready"} {
		team.must(t, command, "--domain", domainA, "--host", "server1", "--wait")
	}
	team.must(t, "weight", "--domain", domainA, "--host", "server1", "--wait", "10")
	for _, domain := range []string{domainB, domainA + ".example"} {
		if err := p.ctl(t, m, "shop", "etcdctl put "+prefix+domain+"/server1/port 80"); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("the team of %s may register hosts of %s: %v", domainA, domain, err)
		}
	}
	if o := team.hapsync(t, "list"); o.code != 3 {
		t.Errorf("the team of %s may read all domains: %s", domainA, o)
	}
	team.must(t, "list", "--domain", domainA)
	team.must(t, "agents")
	team.must(t, "deregister", "--domain", domainA, "--host", "server1", "--wait", "--drain", "0s")
}

// secure is the client URL of a member with TLS.
func (m *member) secure() string { return "https://" + m.ip + ":2379" }

// startSecure starts the member alone; its clients need a certificate.
func (m *member) startSecure(t *testing.T, p pki) {
	t.Helper()
	p.issue(t, "server", net.ParseIP(m.ip))
	p.issue(t, "root")
	p.issue(t, "hapsync")
	m.Process = m.machine.start(t, nil, programs.etcd, "--name", m.name, "--data-dir", m.dir,
		"--listen-client-urls", m.secure(), "--advertise-client-urls", m.secure(),
		"--listen-peer-urls", m.peer(), "--initial-advertise-peer-urls", m.peer(), "--initial-cluster", m.name+"="+m.peer(),
		"--cert-file", p.file("server.crt"), "--key-file", p.file("server.key"),
		"--client-cert-auth", "--trusted-ca-file", p.file("ca.crt"), "--unsafe-no-fsync", "--log-level", "error")
}

// A pki is an authority whose certificates are in a directory.
type pki struct {
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newPKI(t *testing.T) pki {
	t.Helper()
	p := pki{dir: t.TempDir()}
	p.key, p.cert = p.sign(t, "ca", x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return p
}

func (p pki) file(name string) string { return filepath.Join(p.dir, name) }

// issue makes the certificate and the key of a server at an address, or of a client: its name is etcd's user.
func (p pki) issue(t *testing.T, name string, at ...net.IP) {
	t.Helper()
	p.sign(t, name, x509.Certificate{
		IPAddresses: at, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

// sign writes a certificate and its key; the first one signs itself.
func (p pki) sign(t *testing.T, name string, cert x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert.Subject = pkix.Name{CommonName: name}
	cert.SerialNumber = big.NewInt(time.Now().UnixNano())
	cert.NotBefore, cert.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := p.cert, p.key
	if parent == nil {
		parent, signer = &cert, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &cert, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, name+".crt", "CERTIFICATE", der)
	p.write(t, name+".key", "PRIVATE KEY", keyDER)
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, made
}

func (p pki) write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(p.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ctl runs an etcdctl command with the certificate of a user.
func (p pki) ctl(t *testing.T, m *member, user, command string) error {
	t.Helper()
	cmd := m.command(t.Context(), "sh", "-c", command)
	cmd.Env = append(cmd.Env, "ETCDCTL_ENDPOINTS="+m.secure(), "ETCDCTL_CACERT="+p.file("ca.crt"),
		"ETCDCTL_CERT="+p.file(user+".crt"), "ETCDCTL_KEY="+p.file(user+".key"))
	_, err := m.output(cmd)
	return err
}
