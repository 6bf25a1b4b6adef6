package configfile

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// isVariable matches names of variables, but not other text in braces.
var isVariable = regexp.MustCompile(`^\w+$`)

// definedIn matches the variables in a condition.
var definedIn = regexp.MustCompile(`defined\((\w+)\)`)

// Variables are the names of the environment variables in the files, sorted.
func (f Reading) Variables() []string {
	found := map[string]bool{}
	for _, src := range f.sources {
		for _, l := range src.doc.lines {
			if strings.Contains(l.raw, "$") {
				expandWords(l.raw, func(name string) string {
					if isVariable.MatchString(name) {
						found[name] = true
					}
					return ""
				})
			}
			if l.conditional {
				for _, m := range definedIn.FindAllStringSubmatch(l.raw, -1) {
					found[m[1]] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// UseVariables sets the values of variables in HAProxy's process; a variable that is not set there is empty. changed means that the files must
// be read again.
func (c *Files) UseVariables(values map[string]string) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if maps.Equal(values, c.variables) {
		return false
	}
	c.variables, c.conditions, c.last = values, nil, Reading{}
	return true
}

// missingVariables are variables for haproxy -c and -cc that HAProxy's process has, but this one lacks. They do not include variables that make
// a program load code.
func (c *Files) missingVariables() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []string
	for name, value := range c.variables {
		_, own := os.LookupEnv(name)
		loadsCode := strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "GLIBC_") || strings.HasPrefix(name, "OPENSSL_")
		if !own && !loadsCode && value != "" && !strings.Contains(value, "\x00") {
			found = append(found, name+"="+value)
		}
	}
	return found
}

// environment gives the values of variables as HAProxy's process has them. If the process was not asked, the values are those
// of this process, changed by the global sections.
func (c *Files) environment(docs []Document) environment {
	c.mu.Lock()
	known := c.variables
	c.mu.Unlock()
	set := variables{values: map[string]string{}}
	for _, d := range docs {
		for _, s := range d.sections {
			if s.kind != "global" || s.off {
				continue
			}
			for _, l := range d.active(s) {
				set.apply(expandWords(l.raw, set.value))
			}
		}
	}
	return func(name string) string {
		if value, ok := known[name]; ok {
			return value
		}
		return set.value(name)
	}
}

// variables are environment variables after some lines of a global section.
type variables struct {
	values map[string]string // an empty one is not set
	reset  bool              // all other variables are not set
}

func (v *variables) value(name string) string {
	if value, ok := v.values[name]; ok || v.reset {
		return value
	}
	return os.Getenv(name)
}

// apply changes the variables as a line of a global section says, in words.
func (v *variables) apply(words []string) {
	if len(words) == 0 {
		return
	}
	switch keyword, names := words[0], words[1:]; {
	case keyword == "setenv" && len(names) == 2, keyword == "presetenv" && len(names) == 2 && v.value(names[0]) == "":
		v.values[names[0]] = names[1]
	case keyword == "unsetenv":
		for _, name := range names {
			v.values[name] = ""
		}
	case keyword == "resetenv":
		kept := map[string]string{}
		for _, name := range names {
			kept[name] = v.value(name)
		}
		v.values, v.reset = kept, true
	}
}

// fill replaces variables in names by their values.
func (c *Files) fill(d Document, env environment) Document {
	for i := range d.lines {
		l := &d.lines[i]
		if !strings.Contains(l.raw, "$") {
			continue
		}
		unknown := ""
		w := expandWords(l.raw, func(name string) string {
			value := env(name)
			if value == "" && !c.asked(name) {
				unknown = name
			}
			return value
		})
		if len(w) > 1 && (w[0] == "acl" || sectionKinds[w[0]]) {
			l.filled = &filled{w[1], unknown}
		}
	}
	for i, s := range d.sections {
		if n := d.lines[s.head].filled; n != nil && n.name != "" {
			d.sections[i].name = n.name
		}
	}
	return d
}

// asked reports whether HAProxy's process was asked for a variable.
func (c *Files) asked(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.variables[name]
	return ok
}

// unknownNames warns of names that contain variables without a known value.
func (f Reading) unknownNames() []string {
	var found []string
	for _, src := range f.sources {
		for i, l := range src.doc.lines {
			if l.filled != nil && l.filled.unknown != "" {
				found = append(found, fmt.Sprintf("%s:%d: the value of %s is not known, so that a domain may be added beside a name that it makes; "+
					"let HAProxy's stats socket tell it, or give hapsync's environment the same value", src.path, i+1, l.filled.unknown))
			}
		}
	}
	return found
}
