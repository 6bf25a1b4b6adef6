package configfile

import (
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// DomainDefaults are the named defaults sections that give a backend which is added to the process all that one in the managed file
// gets from its defaults and its own lines, by the options that these lines say: of such a section, only balance and cookie are others.
func (f Reading) DomainDefaults() map[haproxy.BackendOptions]string {
	found := map[haproxy.BackendOptions]string{}
	inherited := f.inherited(f.at, f.Managed.fresh()).lines
	if lastOf(inherited, "mode") != "http" {
		return found
	}
	rest := exceptOptions(inherited)
	for _, d := range f.defaults {
		same := func(other defaultsSection) bool { return other.name == d.name }
		if !haproxy.PlainName(d.name) || slices.IndexFunc(f.defaults, same) != lastIndex(f.defaults, same) || !slices.Equal(exceptOptions(d.lines), rest) {
			continue
		}
		options := haproxy.BackendOptions{Balance: lastOf(d.lines, "balance"), Cookie: canonicalCookie(strings.Fields(lastOf(d.lines, "cookie")))}
		if _, known := found[options]; !known && !strings.ContainsAny(options.Balance+options.Cookie, `"'\$`) {
			found[options] = d.name
		}
	}
	return found
}

func lastIndex[T any](all []T, holds func(T) bool) int {
	for i := len(all) - 1; i >= 0; i-- {
		if holds(all[i]) {
			return i
		}
	}
	return -1
}

// exceptOptions are the lines of a defaults section but for those that hapsync writes into backends itself.
func exceptOptions(lines []line) []string {
	var rest []string
	for _, l := range lines {
		switch w := splitWords(l.raw); {
		case len(w) == 0 || w[0] == "balance" || w[0] == "cookie":
		default:
			rest = append(rest, strings.Join(w, " "))
		}
	}
	return rest
}
