package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/hapsync/hapsync/registry"
)

// tlsConfig returns nil for endpoints without TLS.
func (c Config) tlsConfig() (*tls.Config, error) {
	if !strings.HasPrefix(c.Endpoints[0], "https:") {
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CACert != "" {
		pool, err := readAuthorities(c.CACert)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = pool
	}
	switch {
	case c.Cert == "" && c.Key == "":
		return conf, nil
	case c.Key == "":
		return nil, fmt.Errorf("client certificate %s is given without its key: give the key file, too", c.Cert)
	case c.Cert == "":
		return nil, fmt.Errorf("client key %s is given without its certificate: give the certificate file, too", c.Key)
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate %s and its key %s: %w", c.Cert, c.Key, err)
		}
		return &pair, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return conf, nil
}

// clientCertificate is the client certificate as its file is now; nil if there is none, or it cannot be read.
func (c Config) clientCertificate() *x509.Certificate {
	if c.Cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil
	}
	return pair.Leaf
}

// user names the user that etcd asks the permissions of: without a name and password, it is that of the client certificate.
func (c Config) user() string {
	if cert := c.clientCertificate(); c.User == "" && cert != nil {
		return fmt.Sprintf("the user of the certificate %s (%s)", c.Cert, registry.Quote(cert.Subject.CommonName))
	}
	return "user " + registry.Quote(c.User)
}

// outdated says that the client certificate is not valid at this time, and the way out; empty if it is.
func (c Config) outdated(now time.Time) string {
	cert := c.clientCertificate()
	switch {
	case cert == nil:
		return ""
	case now.After(cert.NotAfter):
		return fmt.Sprintf("the client certificate %s expired on %s: renew it", c.Cert, cert.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(cert.NotBefore):
		return fmt.Sprintf("the client certificate %s is not valid before %s: check the clock of this machine", c.Cert,
			cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return ""
}

func readAuthorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the CA certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("CA certificate file %s has no certificate in PEM format", path)
	}
	return pool, nil
}

// dialOptions are those of TLS, beside the configuration itself.
func (c Config) dialOptions(conf *tls.Config) []grpc.DialOption {
	if conf == nil || c.CACert == "" {
		return nil
	}
	return []grpc.DialOption{grpc.WithTransportCredentials(&renewedAuthorities{
		TransportCredentials: credentials.NewTLS(conf), conf: conf, path: c.CACert, good: conf.RootCAs,
	})}
}

// renewedAuthorities reads the CA file again for each connection, so that it can be renewed. If the file is broken, because it
// is being written, the authorities that it had before are still trusted.
type renewedAuthorities struct {
	credentials.TransportCredentials
	conf *tls.Config // not changed
	path string
	mu   sync.Mutex
	good *x509.CertPool // of the last time that the file could be read
}

// Clone returns the same, as it may be shared.
func (a *renewedAuthorities) Clone() credentials.TransportCredentials { return a }

// ClientHandshake makes the usual checks of the server's certificate. Only the authorities are those of the file as it is now.
func (a *renewedAuthorities) ClientHandshake(ctx context.Context, server string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conf := a.conf.Clone()
	pool, broken := a.read()
	conf.RootCAs = pool
	conn, info, err := credentials.NewTLS(conf).ClientHandshake(ctx, server, raw)
	if err != nil && broken != nil {
		err = fmt.Errorf("%w (%w)", err, broken)
	}
	return conn, info, err
}

func (a *renewedAuthorities) read() (*x509.CertPool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	pool, err := readAuthorities(a.path)
	if err == nil {
		a.good = pool
	}
	return a.good, err
}
