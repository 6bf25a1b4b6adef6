package configfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	return strings.Join(mapRuleWords(mapFile, anyPort), " ")
}

func mapRuleWords(mapFile string, anyPort bool) []string {
	key := exactKey
	if anyPort {
		key = anyPortKey
	}
	backend := fmt.Sprintf("%s,map(%s)", key, mapFile)
	return []string{"use_backend", "%[" + backend + "]", "if", "{", backend, "-m", "found", "}"}
}

// A mapRule is one that was read.
type mapRule struct {
	file    string
	anyPort bool
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
	return r, found && strings.HasSuffix(file, mapSuffix) && slices.Equal(w, mapRuleWords(file, r.anyPort))
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
			case isMapRule && r.file == mapFile && !between:
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

// newMapFile is the map file for rules that are to be written; empty where none are: domains come by reloads alone, HAProxy is too
// old, or no defaults section would give backends what the file gives them.
func (c *Files) newMapFile(ctx context.Context, f Reading) string {
	path, ok := MapFile(c.Managed)
	if !ok || c.staticDomains || len(f.DomainDefaults()) == 0 {
		return ""
	}
	if version, _, err := c.Program(ctx); err != nil || !haproxy.CapabilitiesOf(version).Backends {
		return ""
	}
	return path
}

// keepMapFile makes sure that the map file is there, without which HAProxy does not start, where a text has a rule that reads it.
func (c *Files) keepMapFile(text string) error {
	path, ok := MapFile(c.Managed)
	if !ok || !strings.Contains(text, "map("+path+")") {
		return nil
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return Replace(path, c.Managed, "")
}

// allAnyPort reports whether the map rule beside rules takes hosts with any port: as new rules beside them do.
func allAnyPort(rules []haproxy.Rule) bool {
	return !slices.ContainsFunc(rules, func(r haproxy.Rule) bool { return !r.AnyPort })
}
