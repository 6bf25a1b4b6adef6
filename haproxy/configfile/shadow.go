package configfile

import (
	"fmt"
	"slices"
	"strings"
)

// shadows are the indexes of the lines in a frontend's body that are not ours, and route requests by their Host, or all requests. A rule of
// ours below such a line may never be reached.
func shadows(body []line) map[int]bool {
	found := map[int]bool{}
	byHost := map[string]bool{} // the ACLs on the Host
	var buffer wordBuffer
	for i, l := range body {
		switch firstWord(l.raw) {
		case "acl":
			if w := appendWords(buffer[:0], l.raw); len(w) > 2 && aboutHost(w[2:]) {
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
			if condition < 0 || aboutHost(w[condition:]) ||
				slices.ContainsFunc(w[condition:], func(word string) bool { return byHost[strings.TrimLeft(unquote(word), "!")] }) {
				found[i] = true
			}
		}
	}
	return found
}

// outside replaces indexes inside of an .if block by the index of its .if line.
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

// aboutHost reports whether words are about the Host header, or about the server name of TLS.
func aboutHost(words []string) bool {
	return slices.ContainsFunc(words, func(word string) bool {
		word = strings.ToLower(word)
		return strings.Contains(word, "host") || strings.Contains(word, "sni")
	})
}

// shadowed warns of rules of ours below a line of an operator's that may match their requests.
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
				found = append(found, fmt.Sprintf("%s:%d: %q stands above hapsync's rules for %s: requests that it matches never "+
					"reach them; move it below them", c.Managed, s.head+2+i, strings.Join(splitWords(l.raw), " "), FirstOf(below)))
			}
		}
	}
	return found
}

// FirstOf lists the first names, and the number of the others.
func FirstOf(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d others", strings.Join(names[:few], ", "), len(names)-few)
}
