package etcd

import (
	"crypto/x509"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"

	"github.com/hapsync/hapsync/registry"
)

// A secured is an etcd with TLS whose certificate can be replaced, and a CA file that its clients trust.
type secured struct {
	*wire
	dir, ca string
}

// startSecured returns an etcd with a certificate of its own CA, which is in the CA file.
func startSecured(t *testing.T) *secured {
	t.Helper()
	dir := t.TempDir()
	s := &secured{dir: dir, ca: filepath.Join(dir, "trusted.crt")}
	s.trust(t, s.renew(t, "first"))
	etcd, err := startEtcd(filepath.Join(dir, "etcd"), url.URL{Scheme: "https", Host: "127.0.0.1:0"},
		transport.TLSInfo{CertFile: filepath.Join(dir, "server.crt"), KeyFile: filepath.Join(dir, "server.key")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	s.wire = newWire(t, etcd.Clients[0].Addr().String())
	return s
}

// renew makes a CA and a certificate of it for etcd, which reads it for each connection. It returns the CA as text.
func (s *secured) renew(t *testing.T, name string, changes ...func(*x509.Certificate)) string {
	t.Helper()
	ca, err := newCertificate(s.dir, name, nil)
	if err == nil {
		_, err = newCertificate(s.dir, "server", ca, changes...)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, name+".crt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// trust replaces the CA file.
func (s *secured) trust(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(s.ca, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// again drops the connections, and so new ones are made.
func (s *secured) again() { s.set(true); s.set(false) }

// refuses waits until a request says why it does not trust etcd.
func (s *secured) refuses(t *testing.T, client *Client, want ...string) {
	t.Helper()
	s.again()
	said := "nothing"
	defer func() {
		if t.Failed() {
			t.Log(said)
		}
	}()
	until(t, "it is refused: "+strings.Join(want, ", "), func() bool {
		_, err := client.Snapshot(t.Context())
		if err == nil {
			return false
		}
		said = err.Error()
		for _, word := range want {
			if !strings.Contains(said, word) {
				return false
			}
		}
		return true
	})
}

// serves waits until a request succeeds over a new connection.
func (s *secured) serves(t *testing.T, client *Client, why string) {
	t.Helper()
	s.again()
	until(t, why, func() bool {
		_, err := client.Snapshot(t.Context())
		return err == nil
	})
}

func TestARenewedCAIsTrustedWithoutARestart(t *testing.T) {
	t.Parallel()
	s := startSecured(t)
	client := dial(t, Config{Endpoints: []string{"https://" + s.at}, CACert: s.ca, DialTimeout: time.Second})
	snapshot(t, client)
	const unknown = "certificate signed by unknown authority"

	second := s.renew(t, "second")
	s.refuses(t, client, unknown+": give the CA certificate")
	s.trust(t, "half of a certi")
	s.refuses(t, client, unknown, "CA certificate file "+s.ca+" has no certificate in PEM format")
	s.trust(t, second)
	s.serves(t, client, "the new CA is trusted")

	s.trust(t, "half of a certi")
	s.serves(t, client, "the CA of before is trusted while the file is broken")
	if err := os.Remove(s.ca); err != nil {
		t.Fatal(err)
	}
	s.serves(t, client, "the CA of before is trusted while there is no file")

	s.trust(t, s.renew(t, "third", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }))
	s.refuses(t, client, "certificate has expired or is not yet valid")
	s.trust(t, s.renew(t, "fourth", func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"localhost"} }))
	s.refuses(t, client, "cannot validate certificate for 127.0.0.1", "endpoints by the names in it")
	_, port, _ := strings.Cut(s.at, ":")
	snapshot(t, dial(t, Config{Endpoints: []string{"https://localhost:" + port}, CACert: s.ca}))
	s.trust(t, s.renew(t, "fifth"))
	s.serves(t, client, "the last CA is trusted")

	s.trust(t, second)
	s.refuses(t, client, unknown)
}

func TestAnAgentOutlivesARenewedCA(t *testing.T) {
	t.Parallel()
	s := startSecured(t)
	client := dial(t, Config{Endpoints: []string{"https://" + s.at}, CACert: s.ca, DialTimeout: time.Second})
	f := follow(t, client)
	f.shows(t, "")
	second := s.renew(t, "second")
	s.again()
	f.reason(t, "certificate signed by unknown authority: give the CA certificate") // the first one is that of the cut
	s.trust(t, second)
	f.until(t, "back", func(_ []registry.Update, lost []error) bool { return lost[len(lost)-1] == nil })
}
