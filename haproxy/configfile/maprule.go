package configfile

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// mapSuffix is the end of the map file's name.
const mapSuffix = ".domains.map"

// MapFile is the file beside the managed file that map rules read. It maps host names, in lower case, to backends. ok is false if a rule
// cannot contain its path.
func MapFile(managed string) (path string, ok bool) {
	dir, name := filepath.Split(managed)
	path = filepath.Join(dir, strings.TrimSuffix(name, ".cfg")+mapSuffix)
	return path, isPlainPath(path)
}

// isPlainPath reports whether a path is absolute, and has no bytes with a special meaning in a sample expression.
func isPlainPath(path string) bool {
	return strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == "" && filepath.IsAbs(path)
}

// The samples that a map rule looks up. Host names in the map are in lower case. The -i of an ACL has the same effect.
const (
	exactKey   = "req.hdr(host),lower"
	anyPortKey = "req.hdr(host),host_only,lower"
)

// MapRule is hapsync's last rule in a frontend. It leads to the backend that the map file has for the Host header, and has no effect if the
// file does not have it. anyPort is as in haproxy.Rule.
func MapRule(mapFile string, anyPort bool) string {
	return strings.Join(mapRule{file: mapFile, anyPort: anyPort}.words(), " ")
}

// AllByMap is a MapRule that replaces the rules of all domains of the frontend.
func AllByMap(mapFile string, anyPort bool) string {
	return strings.Join(mapRule{file: mapFile, anyPort: anyPort, all: true}.words(), " ")
}

// A mapRule is a rule that reads the map file.
type mapRule struct {
	file    string
	anyPort bool
	// all is set if it replaces the rules of all domains, which then have only ACLs. It has the mark.
	all bool
}

func (r mapRule) words() []string {
	key := exactKey
	if r.anyPort {
		key = anyPortKey
	}
	backend := fmt.Sprintf("%s,map(%s)", key, r.file)
	words := []string{"use_backend", "%[" + backend + "]", "if", "{", backend, "-m", "found", "}"}
	if r.all {
		words = append(words, ownMark)
	}
	return words
}

// readMapRule parses a line of a frontend as a map rule. The directory of its file does not matter: a rule that was written for another
// managed file is not an operator's either.
func readMapRule(l line) (r mapRule, ok bool) {
	if l.conditional || firstWord(l.raw) != "use_backend" {
		return r, false
	}
	var buffer wordBuffer
	w := appendWords(buffer[:0], l.raw)
	if len(w) < 2 {
		return r, false
	}
	key, file, found := strings.Cut(strings.TrimSuffix(w[1], ")]"), ",map(")
	r = mapRule{file: file, anyPort: key == "%["+anyPortKey}
	if !found || !strings.HasSuffix(file, mapSuffix) || !slices.Equal(w, r.words()) {
		return mapRule{}, false
	}
	r.all = isMarked(commentOf(l.raw))
	return r, true
}

// mapRuleIn is hapsync's map rule among the lines of a frontend: one that reads the map file, or else one that was written for a managed file
// in another directory. A rule that reads a map of another name, and lacks the mark, is an operator's.
func mapRuleIn(lines []line, mapFile string) (r mapRule, ok bool) {
	for _, l := range lines {
		found, isMapRule := readMapRule(l)
		switch {
		case !isMapRule:
		case found.file == mapFile:
			return found, true
		case !ok && (found.all || filepath.Base(found.file) == filepath.Base(mapFile)):
			r, ok = found, true
		}
	}
	return r, ok
}

// routesOf are the frontends in which an entry of the map file has the effect of a new domain's rule: there is no rule of an operator's
// between hapsync's first rule and the map rule. The value says whether it matches the Host header with any port.
func (m *Managed) routesOf(d Document, mapFile string) map[string]bool {
	routes := map[string]bool{}
	for name, s := range m.frontends {
		below, between := false, false
		for _, l := range d.active(s) {
			if firstWord(l.raw) != "use_backend" {
				continue
			}
			_, kind, ours := ownLine(l)
			r, isMapRule := readMapRule(l)
			switch {
			case isMapRule && r.file == mapFile && (r.all || !between):
				routes[name] = r.anyPort
			case ours && kind == "wildcard":
				between = true // it comes after all exact names
			case ours:
				below = true
				delete(routes, name) // hapsync writes new rules there
			case !isMapRule:
				between = between || below
			}
		}
	}
	return routes
}

// allAnyPort reports whether the map rule beside other rules matches any port, like new rules there.
func allAnyPort(rules []haproxy.Rule) bool {
	return !slices.ContainsFunc(rules, func(r haproxy.Rule) bool { return !r.AnyPort && !r.Closed })
}

func isByMap(r haproxy.Rule) bool { return r.ByMap }
