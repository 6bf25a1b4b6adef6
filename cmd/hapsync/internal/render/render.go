// Package render is how hapsync shows things: as text for a person, and as JSON for programs. Every command that shows
// something has one Page; what a new field is called, and what it means, stands at its struct.
package render

import (
	"encoding/json"
	"io"
	"strings"
	"unicode"

	"github.com/hapsync/hapsync/sync"
)

// A Page is what a command shows. sync.Report is one, too.
type Page interface {
	WriteText(w io.Writer) error
	WriteJSON(w io.Writer) error
}

// Write writes a page in the format of --output.
func Write(w io.Writer, format string, p Page) error {
	if format == "json" {
		return p.WriteJSON(w)
	}
	return p.WriteText(w)
}

// JSON writes a value as every command does.
func JSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// OneLineEach joins the lines of texts that have several: what haproxy -c prints, for one. What does not print becomes a question mark: the
// text may be of another program's.
func OneLineEach(texts []string) []string {
	lines := make([]string, len(texts))
	for i, text := range texts {
		lines[i] = strings.Map(printable, strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
	}
	return lines
}

func printable(r rune) rune {
	switch {
	case unicode.IsPrint(r):
		return r
	case unicode.IsSpace(r):
		return ' '
	}
	return '?'
}

// RegistryUp is false before anything is known of the registry.
func RegistryUp(s sync.Status) bool { return s.Lost == "" && s.Seen > 0 }

// HAProxyUp is false before anything is known of HAProxy.
func HAProxyUp(s sync.Status) bool { return s.Down == "" && s.Counts.Passes > 0 }
