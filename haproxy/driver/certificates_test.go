package driver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// issued is a certificate for a subject and its key, signed by an issuer.
func issued(t *testing.T, key *ecdsa.PrivateKey, subject, issuer pkix.Name) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a.abc.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: issuer}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestACertificateIsLoadedIfItsChainHasChanged(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	name := func(cn string) pkix.Name { return pkix.Name{CommonName: cn, Country: []string{"DE"}} }
	strange := pkix.Name{CommonName: " a=b/CN=c, \"ü\" ", Organization: []string{"x", "y+z"}, OrganizationalUnit: []string{"\\x41"},
		ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: "NTRDE-1"}, {Type: asn1.ObjectIdentifier{1, 2, 3, 4, 5}, Value: "=/ "}}}
	leaf, one := issued(t, key, name("a.abc.com"), name("one")), issued(t, key, name("one"), name("root"))
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p := haproxytest.NewProc(t)
		dir := filepath.Join(p.Dir, "certs")
		path := filepath.Join(dir, "a.pem")
		write := func(certs ...string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(strings.Join(certs, "")+private), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		write(leaf, one)
		p.Write(t, p.BaseFile, "")
		p.Write(t, p.ManagedFile, "frontend webin\n    bind @ADDR@ ssl crt "+dir+"\n")
		p.Start(t, bin)
		h, err := Open(haproxy.Settings{BaseFile: p.BaseFile, ManagedFile: p.ManagedFile, Binary: bin, Frontends: []string{"webin"}})
		if err != nil {
			t.Fatal(err)
		}
		is := func(want haproxy.CertificateState) {
			t.Helper()
			if all, err := h.Certificates(t.Context(), dir); err != nil || len(all) != 1 || all[0].State != want || all[0].Problem+all[0].Warning != "" {
				t.Errorf("%+v, %v, want %s", all, err, want)
			}
		}
		is(haproxy.CertificateLoaded)
		for _, chain := range [][]string{
			{issued(t, key, name("two"), name("root"))},
			{issued(t, key, name("two"), name("another root"))},
			{one, issued(t, key, name("root"), name("root"))},
			{},
			{issued(t, key, strange, strange)},
			{issued(t, key, strange, name("root"))},
			{one},
		} {
			write(append([]string{leaf}, chain...)...)
			is(haproxy.CertificateChanged)
			if loaded, _, err := h.LoadCertificates(t.Context(), dir); err != nil || len(loaded) != 1 {
				t.Errorf("%v, %v", loaded, err)
			}
			is(haproxy.CertificateLoaded)
			if have := served(t, p.Addr); have != leaf+strings.Join(chain, "") {
				t.Errorf("HAProxy serves\n%s", have)
			}
		}
	})
}

// served are the certificates that a TLS server sends.
func served(t *testing.T, addr string) string {
	t.Helper()
	dialer := tls.Dialer{NetDialer: &net.Dialer{}, Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var all []byte
	for _, cert := range conn.(*tls.Conn).ConnectionState().PeerCertificates {
		all = slices.Concat(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	return string(all)
}
