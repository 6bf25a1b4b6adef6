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

// MaxQuoted and maxKey are the most bytes of a value or a name, and of a key, that a person gets to read.
const (
	MaxQuoted = 64
	maxKey    = 512
)

// NewProblem is a key that cannot be used.
func NewProblem(key string, err error) Problem {
	return Problem{Key: Printable(key), Reason: err.Error()}
}

// CompareProblems is the order of the problems of a snapshot.
func CompareProblems(a, b Problem) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Reason, b.Reason),
		cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Host, b.Host))
}

// Quote returns the text in quotes, in printable ASCII, cut off where it is long.
func Quote(text string) string {
	if len(text) > MaxQuoted {
		return strconv.QuoteToASCII(text[:MaxQuoted]) + "..."
	}
	return strconv.QuoteToASCII(text)
}

// Printable returns a copy of the key, quoted where a reader could take it for something else.
func Printable(key string) string {
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

// OneLine escapes what does not print, and what could be more than a line.
func OneLine(text string) string {
	const most = 512
	quoted := strconv.QuoteToASCII(text[:min(len(text), most)])
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// Count is a number with what it counts, in the plural but for 1.
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
