package configfile

import (
	"fmt"
	"slices"
	"strings"
)

// shadows are the lines of a frontend's body, by index, that send requests on by their Host, or all of them, and are not ours: below
// such a line a rule of ours may never be reached.
func shadows(body []line) map[int]bool {
	found := map[int]bool{}
	byHost := map[string]bool{} // the ACLs that look at the Host
	for i, l := range body {
		switch firstWord(l.raw) {
		case "acl":
			if w := splitWords(l.raw); len(w) > 2 && ofHost(w[2:]) {
				byHost[unquote(w[1])] = true
			}
		case "use_backend":
			if _, _, ours := ownLine(l); ours || l.off {
				continue
			}
			if _, ours := readMapRule(l); ours {
				continue
			}
			w := splitWords(l.raw)
			condition := slices.IndexFunc(w, func(word string) bool { return word == "if" || word == "unless" })
			if condition < 0 || ofHost(w[condition:]) ||
				slices.ContainsFunc(w[condition:], func(word string) bool { return byHost[strings.TrimLeft(unquote(word), "!")] }) {
				found[i] = true
			}
		}
	}
	return found
}

// outside are places in a frontend's body with the .if of a block in the place of the lines in it.
func outside(places map[int]bool, body []line) map[int]bool {
	out := map[int]bool{}
	depth, start := 0, 0
	for i, l := range body {
		switch firstWord(l.raw) {
		case ".if":
			if depth == 0 {
				start = i
			}
			depth++
		case ".endif":
			depth = max(0, depth-1)
		}
		if places[i] && depth > 0 {
			out[start] = true
		} else if places[i] {
			out[i] = true
		}
	}
	return out
}

// ofHost reports whether words look at the Host header, or at the name of a TLS handshake.
func ofHost(words []string) bool {
	text := strings.ToLower(strings.Join(words, " "))
	return strings.Contains(text, "host") || strings.Contains(text, "sni")
}

// shadowed warns of rules of ours that stand below a line of an operator's that may take their requests.
func (c *Files) shadowed(f Reading) []string {
	var found []string
	for _, name := range c.frontends {
		s := f.Managed.frontends[name]
		body := f.doc.body(s)
		above := shadows(body)
		for i, l := range body {
			if !above[i] {
				continue
			}
			var below []string
			for _, rule := range body[i+1:] {
				if r, ok := readMapRule(rule); ok && r.all {
					below = append(below, f.Managed.byMap(name)...)
				}
				if domain, kind, ours := ownLine(rule); ours && kind == "use_backend" && f.Managed.Foreign[domain] == "" {
					below = append(below, domain)
				}
			}
			if len(below) > 0 {
				found = append(found, fmt.Sprintf("%s:%d: %q stands above hapsync's rules for %s: requests that it matches never reach them; move it below them",
					c.Managed, s.head+2+i, strings.Join(splitWords(l.raw), " "), FirstOf(below)))
			}
		}
	}
	return found
}

// FirstOf names a few.
func FirstOf(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d others", strings.Join(names[:few], ", "), len(names)-few)
}
