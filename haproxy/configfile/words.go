package configfile

import (
	"os"
	"strconv"
	"strings"
)

// An environment gives the value of a variable.
type environment func(name string) string

// expandWords are the words of a line without quotes and escapes, with the values of variables.
func expandWords(raw string, env environment) []string {
	w := wordReader{in: raw, env: env}
	for w.next() {
	}
	return w.words
}

// unquote is expandWords for one word.
func unquote(word string) string {
	if !hasQuotes(word) && strings.IndexByte(word, '$') < 0 {
		return word
	}
	if words := expandWords(word, os.Getenv); len(words) == 1 {
		return words[0]
	}
	return word
}

// A wordReader splits a line into words.
type wordReader struct {
	in    string
	env   environment
	words []string
}

// next reads one word. It returns false at the end of the line, or at its comment.
func (w *wordReader) next() bool {
	for w.in != "" && isBlank(w.in[0]) {
		w.in = w.in[1:]
	}
	if w.in == "" || w.in[0] == '#' {
		return false
	}
	var b strings.Builder
	quote := byte(0)
	for w.in != "" {
		c := w.in[0]
		switch {
		case quote == 0 && (isBlank(c) || c == '#'):
			w.words = append(w.words, b.String())
			return true
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == '\\' && quote != '\'' && len(w.in) > 1:
			w.in = w.in[1:]
			if code, err := strconv.ParseUint(hexadecimal(w.in), 16, 8); err == nil {
				b.WriteByte(byte(code))
				w.in = w.in[3:]
				continue
			}
			b.WriteByte(escaped(w.in[0]))
		case c == '$' && quote != '\'':
			b.WriteString(w.variable())
			continue
		default:
			b.WriteByte(c)
		}
		w.in = w.in[1:]
	}
	w.words = append(w.words, b.String())
	return true
}

// hexadecimal are the digits of the escape xHH that a text begins with; empty if it begins with another one.
func hexadecimal(in string) string {
	if len(in) < 3 || in[0] != 'x' {
		return ""
	}
	return in[1:3]
}

// escaped is what a backslash before c stands for.
func escaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func isVariableByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// variable reads $NAME, ${NAME} or ${NAME-default}, and returns its value.
func (w *wordReader) variable() string {
	rest := w.in[1:]
	if name, after, ok := strings.Cut(strings.TrimPrefix(rest, "{"), "}"); ok && strings.HasPrefix(rest, "{") {
		w.in = after
		name, alternative, _ := strings.Cut(strings.TrimSuffix(name, "[*]"), "-")
		if value := w.env(name); value != "" {
			return value
		}
		return alternative
	}
	end := 0
	for end < len(rest) && isVariableByte(rest[end]) {
		end++
	}
	w.in = rest[end:]
	if end == 0 {
		return "$"
	}
	return w.env(rest[:end])
}
