package registry

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxHost is the maximum length of a host's name, in bytes.
const MaxHost = 64

const (
	maxDomain = 253
	maxLabel  = 63
)

// CheckDomain returns what is wrong with the name of a domain. It accepts RFC 1123 host names in upper and lower case.
func CheckDomain(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("domain is empty: the key is <domain>/<host>/ip below the prefix")
	case name == "*" || strings.HasPrefix(name, "*."):
		return fmt.Errorf("domain %s is a wildcard, which only the key aliases of a domain can have", Quote(name))
	}
	return nameError("domain", name, badName(name))
}

// CheckAlias returns what is wrong with an alias. It accepts what CheckDomain accepts, and *.abc.com for all names below
// abc.com.
func CheckAlias(name string) error {
	if name == "*" {
		return fmt.Errorf("name %s is each name: HAProxy's default_backend is for those that no domain has", Quote(name))
	}
	below, wild := strings.CutPrefix(name, "*.")
	why := badName(below)
	if last := below[strings.LastIndexByte(below, '.')+1:]; why == "" && wild && strings.Trim(last, "0123456789") == "" {
		why = "is below a number, and there are no names below an address"
	}
	return nameError("name", name, why)
}

// nameError is the error for a bad name; nil if why is empty.
func nameError(what, name, why string) error {
	if why == "" {
		return nil
	}
	return fmt.Errorf("%s %s %s", what, Quote(name), why)
}

func badName(name string) string {
	if len(name) > maxDomain {
		return fmt.Sprintf("has %d bytes: %d are the most", len(name), maxDomain)
	}
	for label := range strings.SplitSeq(name, ".") {
		if why := badLabel(label); why != "" {
			return why
		}
	}
	return ""
}

func badLabel(label string) string {
	switch {
	case label == "":
		return "has an empty part: write single dots between its parts, none at its start or end"
	case len(label) > maxLabel:
		return fmt.Sprintf("has a part of %d bytes: %d are the most", len(label), maxLabel)
	case label[0] == '-' || label[len(label)-1] == '-':
		return `has a part that starts or ends with "-"`
	}
	for i := range len(label) {
		if !letterOrDigit(label[i]) && label[i] != '-' {
			return fmt.Sprintf(`has %s: only letters, digits, "-" and "." can be in it`, firstRune(label[i:]))
		}
	}
	return ""
}

// CheckHost returns what is wrong with the name of a host.
func CheckHost(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("host is empty: the key is <domain>/<host>/ip below the prefix")
	case len(name) > MaxHost:
		return fmt.Errorf("host %s has %d bytes: %d are the most", Quote(name), len(name), MaxHost)
	}
	for i := range len(name) {
		if !letterOrDigit(name[i]) && strings.IndexByte("_.-", name[i]) < 0 {
			return fmt.Errorf(`host %s has %s: only letters, digits, "_", "." and "-" can be in it`, Quote(name), firstRune(name[i:]))
		}
	}
	return nil
}

func letterOrDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// firstRune returns the first character in quotes, or the first byte if it is not valid UTF-8.
func firstRune(text string) string {
	_, size := utf8.DecodeRuneInString(text)
	return Quote(text[:size])
}

// Patterns match domains: a.abc.com matches itself, *.abc.com all names below it. Empty Patterns match any domain.
type Patterns []string

// CheckPattern returns what is wrong with one pattern.
func CheckPattern(pattern string) error {
	return CheckDomain(strings.TrimPrefix(pattern, "*."))
}

// Match reports whether a pattern matches the domain. A wildcard matches if a pattern matches all of its names.
func (p Patterns) Match(domain string) bool {
	domain = strings.ToLower(domain)
	return len(p) == 0 || slices.ContainsFunc(p, func(pattern string) bool {
		below, wild := strings.CutPrefix(strings.ToLower(pattern), "*")
		return domain == below || wild && len(domain) > len(below) && strings.HasSuffix(domain, below)
	})
}

// DefaultPrefix is the default prefix of the services.
const DefaultPrefix = "/services/web"

// CheckPrefix returns the prefix without its trailing slash, or what is wrong with it.
func CheckPrefix(prefix string) (string, error) {
	if !strings.HasPrefix(prefix, "/") {
		return "", fmt.Errorf("prefix %s does not start with a slash: etcd would take it for other keys, give one such as %s",
			Quote(prefix), DefaultPrefix)
	}
	prefix = strings.TrimRight(prefix, "/")
	if prefix == "" {
		return "", fmt.Errorf("prefix %s is all of etcd: give one such as %s", Quote("/"), DefaultPrefix)
	}
	return prefix, nil
}

// CheckReportPrefix does the same for the prefix of the reports, which must not overlap with that of the services.
func CheckReportPrefix(prefix, services string) (string, error) {
	prefix, err := CheckPrefix(prefix)
	if err != nil {
		return "", err
	}
	services = strings.TrimRight(services, "/")
	if strings.HasPrefix(prefix+"/", services+"/") || strings.HasPrefix(services+"/", prefix+"/") {
		return "", fmt.Errorf("%s and the prefix %s of the services overlap: give one such as %s", Quote(prefix), Quote(services), DefaultReportPrefix)
	}
	return prefix, nil
}
