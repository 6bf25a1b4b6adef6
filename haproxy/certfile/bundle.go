package certfile

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // HAProxy tells certificates apart by it, and nothing is trusted for it
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"time"
)

// maxPayload bounds what goes to HAProxy's socket at once: HAProxy 2.6 to 3.4 take tune.bufsize, 16 KB.
const maxPayload = 15_000

// MaxNames bounds the names that are shown of a certificate.
const MaxNames = 100

var errNoKey = errors.New("it has no private key: put the certificate, its chain and the key into one file")

// A bundle is what a file has: a certificate, its chain and its key.
type bundle struct {
	leaf    *x509.Certificate
	chain   []dn // as chainNames has it
	payload string
}

// parse takes a file apart. The reasons are its own words: none has a byte of the file.
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
		b.Headers = nil // an empty line stands behind them, which would end what HAProxy takes
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

// check returns what keeps a certificate from being put into HAProxy at a time.
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

// names are the plain ones that the certificate is for, at most MaxNames.
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
