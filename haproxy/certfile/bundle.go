package certfile

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // HAProxy identifies certificates by it; it protects nothing
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"time"
)

// maxPayload is the longest payload for HAProxy's socket, in bytes: HAProxy 2.6 to 3.4 accept tune.bufsize, 16 KB.
const maxPayload = 15_000

// MaxNames is how many names of a certificate are shown.
const MaxNames = 100

var errNoKey = errors.New("it has no private key: put the certificate, its chain and the key into one file")

// A bundle is the content of a file: a certificate, its chain and its key.
type bundle struct {
	leaf    *x509.Certificate
	chain   []dn // from chainNames
	payload string
}

// parse parses a file. Its errors contain no byte of the file.
func parse(text string) (bundle, error) {
	var chain, keys, others []*pem.Block
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch {
		case block.Type == "CERTIFICATE" || block.Type == "X509 CERTIFICATE":
			block.Type = "CERTIFICATE"
			chain = append(chain, block)
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return bundle{}, errors.New("its key has a passphrase, which HAProxy cannot be told: write it without")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			keys = append(keys, block)
		case block.Type == "DH PARAMETERS":
			others = append(others, block)
		}
	}
	switch {
	case bytes.Contains(rest, []byte("-----BEGIN")):
		return bundle{}, errors.New("it is half written: a part begins and does not end")
	case len(chain) == 0:
		return bundle{}, errors.New("it has no certificate")
	case len(keys) == 0:
		return bundle{}, errNoKey
	case len(keys) > 1:
		return bundle{}, errors.New("it has more than one private key")
	}
	leaf, err := x509.ParseCertificate(chain[0].Bytes)
	if err != nil {
		return bundle{}, errors.New("its certificate cannot be read: it is damaged, or half written")
	}
	var certs, all bytes.Buffer
	for _, b := range chain {
		b.Headers = nil // an empty line follows headers, which would end the payload
		if err := pem.Encode(&certs, b); err != nil {
			return bundle{}, errors.New("its chain cannot be written")
		}
	}
	if _, err := tls.X509KeyPair(certs.Bytes(), pem.EncodeToMemory(keys[0])); err != nil {
		return bundle{}, errors.New("its private key does not belong to its first certificate")
	}
	all.Write(certs.Bytes())
	for _, b := range append(keys, others...) {
		b.Headers = nil
		all.Write(pem.EncodeToMemory(b))
	}
	return bundle{leaf, chainNames(chain), all.String()}, nil
}

// check returns the reason why a certificate must not be put into HAProxy now.
func (b bundle) check(now time.Time) error {
	switch {
	case now.After(b.leaf.NotAfter):
		return errors.New("it expired on " + b.leaf.NotAfter.Format(time.DateOnly) + ": renew it")
	case now.Before(b.leaf.NotBefore):
		return errors.New("it is not valid before " + b.leaf.NotBefore.Format(time.DateTime))
	case len(b.names()) == 0:
		return errors.New("it is for no name")
	}
	return nil
}

// names are the plain names of the certificate, at most MaxNames.
func (b bundle) names() []string {
	all := b.leaf.DNSNames
	if len(all) == 0 && len(b.leaf.IPAddresses) == 0 {
		all = []string{b.leaf.Subject.CommonName}
	}
	names := []string{}
	for _, name := range all {
		if plainName(name) && len(names) < MaxNames {
			names = append(names, name)
		}
	}
	for _, ip := range b.leaf.IPAddresses {
		if len(names) < MaxNames {
			names = append(names, ip.String())
		}
	}
	return names
}

func (b bundle) sha1() string {
	sum := sha1.Sum(b.leaf.Raw) //nolint:gosec // see above
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}
