package haproxy

import (
	"regexp"
	"slices"
	"strings"
)

// Brief is the text of an error without HAProxy's output. HAProxy quotes lines of its files, which may contain passwords, and more people
// can read an agent's status and report than these files. Only the place and the kind of each error remain.
func Brief(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	for _, q := range quotingErrors(err) {
		if !strings.Contains(text, q.Error()) {
			return q.Brief()
		}
		text = strings.ReplaceAll(text, q.Error(), q.Brief())
	}
	return text
}

// A quoting is an error whose text quotes HAProxy.
type quoting interface {
	error
	Brief() string
}

// quotingErrors are those errors in the tree of err, each once.
func quotingErrors(err error) []quoting {
	if q, ok := err.(quoting); ok { //nolint:errorlint // the tree of errors is walked here
		return []quoting{q}
	}
	var found []quoting
	switch wrapper := err.(type) { //nolint:errorlint // the same
	case interface{ Unwrap() error }:
		return quotingErrors(wrapper.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range wrapper.Unwrap() {
			for _, q := range quotingErrors(e) {
				if !slices.ContainsFunc(found, func(f quoting) bool { return f.Error() == q.Error() }) {
					found = append(found, q)
				}
			}
		}
	}
	return found
}

var (
	placeOfError = regexp.MustCompile(`\[([^\]\s]+:\d+)\]`)
	// kindOfError matches HAProxy's own words.
	kindOfError = regexp.MustCompile(`(?i)unknown keyword|unknown [a-z-]+ parameter|unknown fetch method|unknown argument|unknown option|` +
		`no such (acl|backend|server|group|user|file|converter)|unable to (find|load|open|stat|parse|use)|error opening file|` +
		`unexpected (character|argument)|already (used|defined|declared|exists)|same name|a fault of hapsync's: please report it|` +
		`too (many|few) arguments|cannot handle unexpected argument|only supports|not supported|not (allowed|permitted)|out of range|` +
		`expects|missing|invalid|cannot bind`)
)

// Outline lists the place and the kind of each error in HAProxy's output, and quotes nothing.
func Outline(output string) string {
	var errs []string
	for l := range strings.Lines(output) {
		place := placeOfError.FindStringSubmatch(l)
		kind := strings.ToLower(kindOfError.FindString(l))
		switch {
		case place != nil && kind != "":
			errs = append(errs, place[1]+": "+kind)
		case place != nil:
			errs = append(errs, place[1]+": error")
		case kind != "":
			errs = append(errs, kind)
		}
	}
	return strings.Join(append(slices.Compact(errs), "hapsync's log has HAProxy's words"), "; ")
}
