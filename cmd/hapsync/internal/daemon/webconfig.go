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

// TrustWebConfig makes a client know the agent that has a --web-config-file by the certificate that the file names at that moment,
// whatever names it has and how long it holds. Another certificate has to be one that this machine trusts, for the host. It is nil
// where the file asks for no TLS.
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
			if bytes.Equal(s.PeerCertificates[0].Raw, own) { // a server has one
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

// certificateOf is the server's certificate that a file of exporter-toolkit's names; nil where it names none.
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
