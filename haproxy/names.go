package haproxy

import (
	"cmp"
	"strings"
)

// IsWildcard reports whether one of BackendOptions.Names stands for all names below one, as *.abc.com.
func IsWildcard(name string) bool { return strings.HasPrefix(name, "*.") }

// Covers reports whether a wildcard takes what another name takes, too: a name below it, or a longer wildcard.
func Covers(wildcard, name string) bool {
	return wildcard != name && strings.HasSuffix(name, wildcard[1:])
}

// CompareWildcards is the order of their rules: a wildcard below another one is the longer one, and comes first.
func CompareWildcards(a, b string) int {
	return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
}
