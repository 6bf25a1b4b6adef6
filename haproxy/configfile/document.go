package configfile

import (
	"slices"
	"strings"
)

// A Document is a configuration file as text: every byte belongs to exactly one line, and every line to at most one section. HAProxy has
// no continuation lines (measured on 2.6, 3.2 and 3.4: a backslash at the end is an ordinary word).
type Document struct {
	lines    []line
	sections []section
	// conditions is set if there are lines between .if and .endif.
	conditions bool
}

// A line is one line of a file.
type line struct {
	raw string // with its line end, if it has one
	// conditional is set from .if to .endif, both included. off is set if HAProxy skips the line.
	conditional, off bool
	filled           *filled
}

// filled is the second word of a line, if it is a name that contains variables.
type filled struct {
	name    string // with the values of the variables
	unknown string // a variable without a known value
}

// A section is a header with the lines below it.
type section struct {
	kind, name string
	from       string // the defaults section behind "from"
	off        bool   // HAProxy skips it
	head       int    // index of the header line
	end        int    // index after the last line
	// content is the index after the last line that is neither blank nor a comment. What follows introduces the next section, for a human
	// reader. So does an .if block around the next header.
	content int
	// joined is set if a section inserted after this one would be between .if and .endif, or would get lines of this one.
	joined bool
}

// An ifBlock is the lines from .if to .endif, as far as they were read. It is not nested in another one.
type ifBlock struct {
	depth   int  // 0 after .endif
	start   int  // the line of .if
	content int  // the end of the content above it, of the section in which it begins
	own     bool // it has lines of that section
}

// sectionKinds are the keywords that start a section, up to HAProxy 3.4. The lines of an unknown section count for the section above it.
// That is harmless: hapsync changes neither.
var sectionKinds = map[string]bool{
	"global": true, "defaults": true, "frontend": true, "backend": true, "listen": true, "peers": true,
	"resolvers": true, "userlist": true, "mailers": true, "program": true, "http-errors": true, "ring": true,
	"cache": true, "fcgi-app": true, "log-forward": true, "log-profile": true, "crt-store": true, "traces": true,
	"acme": true, "healthcheck": true, "dynamic-update": true,
}

func parseDocument(text string) Document {
	d := Document{lines: make([]line, 0, strings.Count(text, "\n")+1)}
	var b ifBlock
	for len(text) > 0 {
		var raw string
		if i := strings.IndexByte(text, '\n'); i >= 0 {
			raw, text = text[:i+1], text[i+1:]
		} else {
			raw, text = text, ""
		}
		n := len(d.lines)
		d.lines = append(d.lines, line{raw: raw, conditional: b.depth > 0})
		keyword := firstWord(raw)
		switch {
		case keyword == ".if":
			if b.depth == 0 {
				b = ifBlock{start: n, content: d.content()}
			}
			b.depth++
			d.lines[n].conditional, d.conditions = true, true
		case keyword == ".endif" && b.depth > 0:
			b.depth--
		case sectionKinds[keyword]:
			d.end(n, b)
			d.open(n, raw)
		}
		if blank := keyword == "" || keyword[0] == '#'; !blank && len(d.sections) > 0 {
			d.sections[len(d.sections)-1].content = n + 1
			b.own = b.own || keyword[0] != '.'
		}
	}
	d.end(len(d.lines), b)
	return d
}

// content is the end of the content of the current last section.
func (d *Document) content() int {
	if len(d.sections) == 0 {
		return 0
	}
	return d.sections[len(d.sections)-1].content
}

// end ends the current last section before line n, which may be in a block.
func (d *Document) end(n int, b ifBlock) {
	if len(d.sections) == 0 {
		return
	}
	s := &d.sections[len(d.sections)-1]
	s.end = n
	switch {
	case b.depth == 0:
	case s.head < b.start:
		s.content, s.joined = b.content, b.own
	default:
		s.joined = true
	}
}

// open starts the section whose header is line n.
func (d *Document) open(n int, header string) {
	var buffer wordBuffer
	words := appendWords(buffer[:0], header)
	s := section{kind: unquote(words[0]), head: n}
	nameless := s.kind == "defaults" && len(words) == 3 && words[1] == "from" // "defaults from web"
	if len(words) > 1 && !nameless {
		s.name = unquote(words[1])
	}
	if i := slices.Index(words, "from"); i > 0 && i+1 < len(words) {
		s.from = unquote(words[i+1])
	}
	d.sections = append(d.sections, s)
}

// written is the name of a section as its header has it: with quotes, escapes and variables, as both libraries keep it.
func (d Document) written(s section) string {
	if w := splitWords(d.lines[s.head].raw); len(w) > 1 {
		return w[1]
	}
	return s.name
}

// size is the length of the text in bytes.
func (d Document) size() (n int) {
	for _, l := range d.lines {
		n += len(l.raw)
	}
	return n
}

func (d Document) String() string {
	var b strings.Builder
	b.Grow(d.size())
	for _, l := range d.lines {
		b.WriteString(l.raw)
	}
	return b.String()
}

// active are the lines of a section's body that HAProxy does not skip.
func (d Document) active(s section) []line {
	body := d.body(s)
	if !d.conditions {
		return body
	}
	return slices.DeleteFunc(slices.Clone(body), func(l line) bool { return l.off || strings.HasPrefix(firstWord(l.raw), ".") })
}

// body are the lines of a section below its header, without blank lines and comments at the end.
func (d Document) body(s section) []line { return d.lines[s.head+1 : s.content] }

// shared says how a section shares an .if block with others, so that it cannot be removed alone; empty if it does not.
func (d Document) shared(s section) string {
	switch {
	case d.lines[s.head].conditional:
		return "between .if and .endif"
	case s.joined:
		return "with an .if block in which another section begins"
	}
	return ""
}

// isBlank reports whether HAProxy treats a byte as white space between words.
func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// firstWord is the keyword of a line without quotes; empty for a blank line.
func firstWord(raw string) string {
	word, _ := cutWord(raw)
	return unquote(word)
}

// cutWord returns the first word and what follows it; the word is empty if there is none.
func cutWord(raw string) (word, rest string) {
	start := 0
	for start < len(raw) && isBlank(raw[start]) {
		start++
	}
	end := start
	for end < len(raw) && !isBlank(raw[end]) {
		end++
	}
	return raw[start:end], raw[end:]
}

// splitWords are the words of a line without its comment. They keep their quotes, escapes and variables, so that a line with these never
// equals a line of ours.
func splitWords(raw string) []string { return appendWords(nil, raw) }

// A wordBuffer holds the words of most lines without an allocation.
type wordBuffer [16]string

// appendWords is splitWords with a buffer.
func appendWords(words []string, raw string) []string {
	if hasQuotes(raw) {
		words, _ = rawWords(words, raw)
		return words
	}
	for {
		w, rest := cutWord(raw)
		if w == "" {
			return words
		}
		raw = rest
		switch hash := strings.IndexByte(w, '#'); {
		case hash == 0:
			return words
		case hash > 0:
			return append(words, w[:hash])
		}
		words = append(words, w)
	}
}

// commentOf is the comment at the end of a line, from its "#"; empty without one.
func commentOf(raw string) string {
	if hasQuotes(raw) {
		_, comment := rawWords(nil, raw)
		return comment
	}
	if i := strings.IndexByte(raw, '#'); i >= 0 {
		return strings.TrimRight(raw[i:], " \t\r\n")
	}
	return ""
}

// hasQuotes is faster than strings.ContainsAny.
func hasQuotes(raw string) bool {
	return strings.IndexByte(raw, '\\') >= 0 || strings.IndexByte(raw, '"') >= 0 || strings.IndexByte(raw, '\'') >= 0
}

// rawWords appends the words of a line, with their quotes and escapes, and returns its comment.
func rawWords(words []string, raw string) (_ []string, comment string) {
	raw = strings.TrimRight(raw, "\r\n")
	start, quote := -1, byte(0)
	end := func(i int) {
		if start >= 0 {
			words = append(words, raw[start:i])
		}
		start = -1
	}
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if quote == 0 && c == '#' {
			end(i)
			return words, strings.TrimRight(raw[i:], " \t\r")
		}
		if quote == 0 && isBlank(c) {
			end(i)
			continue
		}
		if start < 0 {
			start = i
		}
		switch {
		case c == '\\' && quote != '\'':
			i++
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		}
	}
	end(len(raw))
	return words, ""
}
