package haproxy

import (
	"slices"
	"strings"
)

// SharedWords are the words that an operator wrote behind every server of a backend. They are also meant for new servers. Words that
// belong to one server do not count: its id, and words that contain its name or its address.
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

// WithoutID removes "id" and "guid", which no two servers may share, from the words of a server.
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

// names reports whether words contain a name that is not part of a longer one.
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
