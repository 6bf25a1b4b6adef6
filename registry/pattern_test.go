package registry

import "testing"

func TestPatternsAreDomainsAndAllBelowOne(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		patterns Patterns
		domain   string
		want     bool
	}{
		{nil, "a.abc.com", true},
		{Patterns{"a.abc.com"}, "A.abc.com", true},
		{Patterns{"a.abc.com"}, "b.a.abc.com", false},
		{Patterns{"x.com", "*.ABC.com"}, "a.abc.com", true},
		{Patterns{"*.abc.com"}, "abc.com", false},
		{Patterns{"*.abc.com"}, "xabc.com", false},
	} {
		if got := tt.patterns.Match(tt.domain); got != tt.want {
			t.Errorf("%q of %v: %v", tt.domain, tt.patterns, got)
		}
	}
	for _, bad := range []string{"", "*", "a.*.com", "*.bad_name", "[a].com"} {
		if CheckPattern(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
