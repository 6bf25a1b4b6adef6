// Package render is how hapsync shows things: as text for a person, and as JSON for programs. Every command that shows
// something has one Page; what a new field is called, and what it means, stands at its struct.
package render

import (
	"cmp"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// A Page is what a command shows.
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

// Shapes are the types of what is printed as JSON, by command.
func Shapes() map[string]reflect.Type {
	return map[string]reflect.Type{
		"plan": reflect.TypeFor[reportJSON](), "list": reflect.TypeFor[ListJSON](), "agents": reflect.TypeFor[Roster](),
		"explain": reflect.TypeFor[explanationJSON](), "status": reflect.TypeFor[Status](), "history": reflect.TypeFor[historyJSON](), "certs": reflect.TypeFor[Certificates](),
		"adopt": reflect.TypeFor[adoptionJSON](),
	}
}

// each is what becomes of all; never nil.
func each[T, U any](all []T, to func(T) U) []U {
	out := make([]U, len(all))
	for i, v := range all {
		out[i] = to(v)
	}
	return out
}

// orEmpty is a list that JSON has as one, and not as null.
func orEmpty[T any](list []T) []T { return append([]T{}, list...) }

// errText is empty for no error.
func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// OneLineEach joins the lines of texts that have several: what haproxy -c prints, for one. What does not print becomes a question mark: the
// text may be of another program's.
func OneLineEach(texts []string) []string { return each(texts, OneLine) }

// OneLine does the same with one text.
func OneLine(text string) string {
	return strings.Map(printable, strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
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

// Dash stands for what is empty.
func Dash(s string) string { return cmp.Or(s, "-") }

// Seconds is a time in whole seconds.
func Seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}
