// Package render writes what hapsync shows, as text for people and as JSON for programs. Each command has a Page. The struct of
// a page has the names and meanings of its JSON fields.
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

// JSON writes a value in the JSON style of all commands.
func JSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Shapes are the types of the JSON output, by command.
func Shapes() map[string]reflect.Type {
	return map[string]reflect.Type{
		"plan": reflect.TypeFor[reportJSON](), "list": reflect.TypeFor[ListJSON](), "agents": reflect.TypeFor[Roster](),
		"explain": reflect.TypeFor[explanationJSON](), "status": reflect.TypeFor[Status](), "history": reflect.TypeFor[historyJSON](),
		"certs": reflect.TypeFor[Certificates](), "adopt": reflect.TypeFor[adoptionJSON](),
	}
}

// each converts all values; never nil.
func each[T, U any](all []T, to func(T) U) []U {
	out := make([]U, len(all))
	for i, v := range all {
		out[i] = to(v)
	}
	return out
}

// orEmpty is a copy of a list; never nil, which would be null in JSON.
func orEmpty[T any](list []T) []T { return append([]T{}, list...) }

// errText is empty for nil.
func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// OneLineEach is OneLine for each text.
func OneLineEach(texts []string) []string { return each(texts, OneLine) }

// OneLine joins the lines of a text, such as the output of haproxy -c. Unprintable characters become question marks, because
// the text may come from another program.
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

// Dash is "-" for an empty text.
func Dash(s string) string { return cmp.Or(s, "-") }

// Seconds is a time in whole seconds.
func Seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}
