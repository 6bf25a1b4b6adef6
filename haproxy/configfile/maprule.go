package configfile

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// mapSuffix ends the name of the map file.
const mapSuffix = ".domains.map"

// MapFile is the file beside the managed one that the map rules read: it leads hosts, in lower case, to backends. It is not ok where
// its path cannot stand in a rule.
func MapFile(managed string) (path string, ok bool) {
	dir, name := filepath.Split(managed)
	path = filepath.Join(dir, strings.TrimSuffix(name, ".cfg")+mapSuffix)
	return path, isPlainPath(path)
}

// isPlainPath reports whether a path has only bytes that mean nothing else in a sample expression, and none that end one.
func isPlainPath(path string) bool {
	return strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == "" && filepath.IsAbs(path)
}

// The samples that a map rule looks up. A Host is in lower case in the map; an ACL's -i does the same.
const (
	exactKey   = "req.hdr(host),lower"
	anyPortKey = "req.hdr(host),host_only,lower"
)

// MapRule is the last rule of hapsync's in a frontend: it leads to the backend that the map file has for the Host, and is as if it
// were not there for a Host that the file does not have. anyPort is as that of haproxy.Rule.
func MapRule(mapFile string, anyPort bool) string {
	return strings.Join(mapRule{file: mapFile, anyPort: anyPort}.words(), " ")
}

// AllByMap is a MapRule that stands for the rules of all domains of the frontend.
func AllByMap(mapFile string, anyPort bool) string {
	return strings.Join(mapRule{file: mapFile, anyPort: anyPort, all: true}.words(), " ")
}

// A mapRule is the rule of a frontend that reads the map file.
type mapRule struct {
	file    string
	anyPort bool
	// all is set where it stands for the rules of all domains that have an ACL and no rule of their own. It has the mark then.
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

// readMapRule reads a line of a frontend as a map rule, whatever folder its file is in: what was written beside another managed
// file is not an operator's, either.
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

// mapRuleIn is the map rule of hapsync's among the lines of a frontend: one that reads the map file, else one that was written for a
// managed file in another folder. A rule that reads a map of another name, without hapsync's mark, is an operator's.
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

// routesOf are the frontends in which an entry in the map file does what a new domain's own rule would do there, with whether they take
// a Host with any port: between hapsync's first rule and the map rule no rule of an operator's has its say.
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
				between = true // it comes behind all whole names
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

// allAnyPort reports whether the map rule beside rules takes hosts with any port: as new rules beside them do.
func allAnyPort(rules []haproxy.Rule) bool {
	return !slices.ContainsFunc(rules, func(r haproxy.Rule) bool { return !r.AnyPort && !r.Closed })
}

func isByMap(r haproxy.Rule) bool { return r.ByMap }
