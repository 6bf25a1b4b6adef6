package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
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
