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

// MaxQuoted and maxKey are how many bytes of a value or a name, and of a key, are shown.
const (
	MaxQuoted = 64
	maxKey    = 512
)

// NewProblem is a key that cannot be used, and why.
func NewProblem(key string, err error) Problem {
	return Problem{Key: Printable(key), Reason: err.Error()}
}

// CompareProblems is the order of a snapshot's problems.
func CompareProblems(a, b Problem) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Reason, b.Reason),
		cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Host, b.Host))
}

// Quote returns the text in quotes, in printable ASCII, cut off if it is long.
func Quote(text string) string {
	if len(text) > MaxQuoted {
		return strconv.QuoteToASCII(text[:MaxQuoted]) + "..."
	}
	return strconv.QuoteToASCII(text)
}

// Printable returns a copy of the key, cut off if it is long. It is in quotes if it has a space, a quote, a backslash or a byte
// that does not print.
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

// OneLine escapes what does not print, and line ends. It cuts the text off at 512 bytes.
func OneLine(text string) string {
	const most = 512
	quoted := strconv.QuoteToASCII(text[:min(len(text), most)])
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// Count is a number and what it counts, such as "1 host" or "2 hosts".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
