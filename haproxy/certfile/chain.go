package certfile

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"slices"
	"strings"
)

// A dn is a distinguished name: its values, in their order.
type dn []string

// chainNames has the subject and the issuer of each certificate after the first; nil if HAProxy's text for one is not predictable.
func chainNames(chain []*pem.Block) []dn {
	names := []dn{}
	for _, block := range chain[1:] {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil
		}
		for _, raw := range [][]byte{cert.RawSubject, cert.RawIssuer} {
			name, ok := parseDN(raw)
			if !ok {
				return nil
			}
			names = append(names, name)
		}
	}
	return names
}

// parseDN parses a name. ok is false if the name cannot be part of a line.
func parseDN(raw []byte) (name dn, ok bool) {
	type attributeSET []struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	var sets []attributeSET
	if _, err := asn1.Unmarshal(raw, &sets); err != nil {
		return nil, false
	}
	for _, set := range sets {
		for _, attribute := range set {
			value := string(attribute.Value.Bytes)
			if strings.ContainsAny(value, "\x00\r\n") {
				return nil, false
			}
			name = append(name, value)
		}
	}
	return name, len(name) > 0
}

// is reports whether HAProxy's text, such as "/C=DE/CN=Example CA", is the name. HAProxy shows the bytes of each value unchanged.
func (name dn) is(words string) bool {
	for i, value := range name {
		if i == len(name)-1 {
			value = strings.TrimRight(value, " \t")
		}
		keyword, rest, ok := strings.Cut(words, "=")
		if !ok || strings.LastIndexByte(keyword, '/') != 0 || !strings.HasPrefix(rest, value) {
			return false
		}
		words = rest[len(value):]
	}
	return words == ""
}

// Is reports whether HAProxy has the certificate of the file: the fingerprints are equal, and so are the names of the chains, if both are known.
func (f File) Is(sha1 string, chain []string) bool {
	return f.SHA1 == sha1 && (f.chain == nil || chain == nil || slices.EqualFunc(f.chain, chain, dn.is))
}
