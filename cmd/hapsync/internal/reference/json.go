package reference

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// An Output is what commands print with -o json.
type Output struct {
	Title   string
	Text    string // what prints it
	Type    reflect.Type
	Nested  map[string]string // headings of nested types, by Go name
	Foreign map[string]string // titles of fields that are another output, by JSON name
}

// json is the page of JSON fields.
func (p Program) json() (string, error) {
	var b strings.Builder
	b.WriteString(`# JSON output

With ` + "`-o json`" + ` a command prints one object on standard output. Fields are only ever added while ` + "`version`" + ` stays. A field
with the word "maybe" is absent if it has nothing to say. Times are RFC 3339, and durations are seconds.

`)
	for _, o := range p.Outputs {
		fmt.Fprintf(&b, "- [%s](#%s)\n", o.Title, anchor(o.Title))
	}
	for _, o := range p.Outputs {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", o.Title, o.Text)
		queue := []reflect.Type{o.Type}
		done := map[reflect.Type]bool{}
		for len(queue) > 0 {
			at := queue[0]
			queue = queue[1:]
			if done[at] {
				continue
			}
			done[at] = true
			t, nested, err := o.table(at)
			if err != nil {
				return "", err
			}
			if at != o.Type {
				fmt.Fprintf(&b, "\nFields of %s:\n\n", o.Nested[at.Name()])
			}
			b.WriteString(t)
			queue = append(queue, nested...)
		}
	}
	return b.String(), nil
}

// table has a line for each field of a struct. It also returns the structs in it.
func (o Output) table(of reflect.Type) (string, []reflect.Type, error) {
	t := newTable("field", "type", "meaning")
	var nested []reflect.Type
	for _, f := range reflect.VisibleFields(of) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "-" || name == "" || shadowed(of, f) {
			continue
		}
		text := f.Tag.Get("doc")
		if text == "" {
			return "", nil, fmt.Errorf("%s: the field %s of %s has no text", o.Title, name, of)
		}
		word, inner := typeOf(f.Type)
		if title := o.Foreign[name]; title != "" {
			word, inner = fmt.Sprintf("[%s](#%s)", word, anchor(title)), nil
		}
		if inner != nil {
			if o.Nested[inner.Name()] == "" {
				return "", nil, fmt.Errorf("%s: the type %s has no heading", o.Title, inner)
			}
			nested = append(nested, inner)
		}
		if strings.Contains(options, "omit") {
			word += ", maybe"
		}
		t.row(code(name), word, cell(quoted.ReplaceAllString(text, "$1`$2`")))
	}
	return t.String(), nested, nil
}

// quoted is code in a tag, which cannot have backquotes.
var quoted = regexp.MustCompile(`(^|[\s(:])'([^']+)'`)

// shadowed reports whether an outer field has the JSON name of the inner field f.
func shadowed(of reflect.Type, f reflect.StructField) bool {
	if len(f.Index) == 1 {
		return false
	}
	name := func(f reflect.StructField) string {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return name
	}
	return slices.ContainsFunc(reflect.VisibleFields(of), func(outer reflect.StructField) bool {
		return len(outer.Index) < len(f.Index) && name(outer) == name(f)
	})
}

// typeOf is a type in JSON's words, and the struct in it.
func typeOf(t reflect.Type) (string, reflect.Type) {
	if t.Kind() == reflect.Pointer {
		word, inner := typeOf(t.Elem())
		return word + " or null", inner
	}
	switch t {
	case reflect.TypeFor[time.Time]():
		return "time", nil
	case reflect.TypeFor[json.RawMessage]():
		return "object", nil
	}
	switch t.Kind() {
	case reflect.String:
		return "text", nil
	case reflect.Bool:
		return "`true` or `false`", nil
	case reflect.Slice:
		word, inner := typeOf(t.Elem())
		return "list of " + plural(word), inner
	case reflect.Map:
		word, _ := typeOf(t.Elem())
		return "object of " + plural(word), nil
	case reflect.Struct:
		return "object", t
	}
	return "number", nil
}

func plural(word string) string {
	if word == "text" {
		return "texts"
	}
	return word + "s"
}
