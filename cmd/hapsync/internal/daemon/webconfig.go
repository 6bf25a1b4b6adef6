package daemon

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// TrustWebConfig is the TLS configuration of a client of an agent with that --web-config-file. It trusts the certificate that
// the file names at that moment, even if its names are others or it has expired. The machine must trust any other certificate,
// for that host. It is nil if the file has no TLS.
func TrustWebConfig(file, host string) (*tls.Config, error) {
	if own, err := certificateOf(file); err != nil || own == nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it
		VerifyConnection: func(s tls.ConnectionState) error {
			own, err := certificateOf(file)
			if err != nil {
				return err
			}
			if bytes.Equal(s.PeerCertificates[0].Raw, own) { // a server always has one
				return nil
			}
			between := x509.NewCertPool()
			for _, c := range s.PeerCertificates[1:] {
				between.AddCert(c)
			}
			if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: host, Intermediates: between}); err != nil {
				return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
			}
			return nil
		},
	}, nil
}

// certificateOf is the server's certificate in a file of exporter-toolkit; nil if there is none.
func certificateOf(file string) (der []byte, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var conf struct {
		Server struct {
			Cert string `yaml:"cert"`
			File string `yaml:"cert_file"`
		} `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(text, &conf); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	chain := []byte(conf.Server.Cert)
	if path := conf.Server.File; path != "" {
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(file), path)
		}
		if chain, err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	if len(chain) == 0 {
		return nil, nil
	}
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return block.Bytes, nil
		}
	}
	return nil, errors.New(file + " names a certificate that is none")
}
