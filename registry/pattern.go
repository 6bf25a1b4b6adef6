package registry

import (
	"slices"
	"strings"
)

// Patterns are domains, as a.abc.com, or *.abc.com for all below it; none means any domain.
type Patterns []string

// CheckPattern returns what is wrong with one of Patterns.
func CheckPattern(pattern string) error {
	return CheckDomain(strings.TrimPrefix(pattern, "*."))
}

// Match reports whether a domain is one of them.
func (p Patterns) Match(domain string) bool {
	domain = strings.ToLower(domain)
	return len(p) == 0 || slices.ContainsFunc(p, func(pattern string) bool {
		below, wild := strings.CutPrefix(strings.ToLower(pattern), "*")
		return domain == below || wild && len(domain) > len(below) && strings.HasSuffix(domain, below)
	})
}
