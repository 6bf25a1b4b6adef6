package registry

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
)

var (
	errPrefix    = errors.New("the key is the prefix itself: only keys below it mean something, delete it")
	errDomainKey = errors.New("the key is a domain without anything below it: the keys are <domain>/<host>/ip and so on, delete it")
)

// The most bytes of a value or a name, and of a key, that a person gets to read.
const (
	maxQuoted = 64
	maxKey    = 512
)

func newProblem(key string, err error) Problem {
	return Problem{Key: printable(key), Reason: err.Error()}
}

func compareProblems(a, b Problem) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Reason, b.Reason),
		cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Host, b.Host))
}

// quote returns the text in quotes, in printable ASCII, cut off where it is long.
func quote(text string) string {
	if len(text) > maxQuoted {
		return strconv.QuoteToASCII(text[:maxQuoted]) + "..."
	}
	return strconv.QuoteToASCII(text)
}

// printable returns a copy of the key, quoted where a reader could take it for something else.
func printable(key string) string {
	cut := ""
	if len(key) > maxKey {
		key, cut = key[:maxKey], "..."
	}
	for i := range len(key) {
		if c := key[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return strconv.QuoteToASCII(key) + cut
		}
	}
	return strings.Clone(key) + cut
}
