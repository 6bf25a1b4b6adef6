package haproxy

import (
	"slices"
	"strings"
)

// SharedWords are the words that an operator has written behind every server of a backend: they hold for servers that come, too. Words
// of one server alone do not count: its id, and what names it or its address.
func (b Backend) SharedWords() string {
	shared := ""
	for i, s := range b.Servers {
		words := WithoutID(s.Params)
		if i > 0 && words != shared || names(words, s.Name) || names(words, s.Addr.Addr().String()) {
			return ""
		}
		shared = words
	}
	return shared
}

// WithoutID is words of a server without those that no second one may have.
func WithoutID(words string) string {
	if !strings.Contains(words, "id ") {
		return words
	}
	w := strings.Fields(words)
	for i := 0; i+1 < len(w); i++ {
		if w[i] == "id" || w[i] == "guid" {
			w = slices.Delete(w, i, i+2)
			i--
		}
	}
	return strings.Join(w, " ")
}

// names reports whether words have a name in them, not as a part of a longer one.
func names(words, name string) bool {
	partOf := func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' }
	for from := 0; ; {
		i := strings.Index(words[from:], name)
		if i < 0 {
			return false
		}
		start := from + i
		end := start + len(name)
		if (start == 0 || !partOf(words[start-1])) && (end == len(words) || !partOf(words[end])) {
			return true
		}
		from = start + 1
	}
}
