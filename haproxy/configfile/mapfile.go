package configfile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// The map file follows from the managed file. For each domain whose rule is ByMap it has the domain and its other names, except wildcards,
// which have rules. hapsync keeps entries that do not lead to one of its backends.

// mapFile is the path of the map file; ok is false if a rule cannot contain it.
func (c *Files) mapFile() (path string, ok bool) { return MapFile(c.Managed) }

// readsMap reports whether a rule in a text of the managed file reads the map file.
func (c *Files) readsMap(text string) bool {
	path, ok := c.mapFile()
	return ok && strings.Contains(text, "map("+path+")")
}

// readMapFile reads the map file, if a rule in the text of the managed file reads it; else the text is empty.
func (c *Files) readMapFile(managed string) (text string, there bool, err error) {
	if !c.readsMap(managed) {
		return "", false, nil
	}
	path, _ := c.mapFile()
	return ReadBeside(path)
}

// findMapFile returns an error if rules by the map are wanted, but no rule can read the file.
func (c *Files) findMapFile(want haproxy.Config) error {
	if path, ok := c.mapFile(); !ok && slices.ContainsFunc(want.Rules, isByMap) {
		return fmt.Errorf("%s cannot stand in a rule of HAProxy's: --routing map needs a managed file whose path has letters, "+
			"digits and / . _ - only", path)
	}
	return nil
}

// mapEntries are the wanted entries of the map file.
func mapEntries(config haproxy.Config) map[string]string {
	entries := map[string]string{}
	for _, r := range config.Rules {
		if !r.ByMap || r.Closed {
			continue
		}
		b, _ := haproxy.FindBackend(config.Backends, r.Backend())
		for name := range strings.FieldsSeq(haproxy.ExactNames(b.Options.Names)) {
			entries[name] = b.Name
		}
		entries[r.Domain] = b.Name
	}
	return entries
}

// mapText is the text of the map file with new entries of hapsync's. It keeps the other lines of have.
func (m *Managed) mapText(entries map[string]string, have string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		b.WriteString(name + " " + entries[name] + "\n")
	}
	for l := range strings.Lines(have) {
		if _, _, ours := m.mapEntry(l); !ours {
			b.WriteString(strings.TrimSuffix(l, "\n") + "\n")
		}
	}
	return b.String()
}

// mapEntry parses a line of the map file; ours is false if hapsync would not write it.
func (m *Managed) mapEntry(l string) (name, backend string, ours bool) {
	w := strings.Fields(l)
	if len(w) != 2 || !haproxy.PlainName(w[0]) || !haproxy.PlainName(w[1]) {
		return "", "", false
	}
	domain, ok := haproxy.DomainOf(w[1])
	return w[0], w[1], ok && m.Foreign[domain] == ""
}

// findStaleMap finds out whether the map file, or a rule that reads it, differs from what the managed file needs.
func (c *Files) findStaleMap(f *Reading) {
	path, ok := c.mapFile()
	wrong := false // the managed file was moved
	for _, r := range f.Managed.mapRules {
		wrong = wrong || ok && r.file != path
	}
	f.Managed.StaleMap = wrong
	if !wrong && c.readsMap(f.Text) {
		f.Managed.StaleMap = !f.mapThere || f.mapText != f.Managed.mapText(mapEntries(f.Managed.Config), f.mapText)
	}
}

// keepMapFile creates the map file if it is missing and a rule in text reads it. Without it HAProxy would not start.
func (c *Files) keepMapFile(f Reading, text string) error {
	path, _ := c.mapFile()
	if f.mapThere || !c.readsMap(text) {
		return nil
	}
	if _, there, err := ReadBeside(path); there || err != nil {
		return err
	}
	return Replace(path, c.Managed, "")
}

// installWithMap installs a new managed file, and its map file. In between, the map file has the old and the new entries. If HAProxy starts
// then, it knows every domain of the file that it reads. An entry whose backend does not exist is like one of an unknown domain.
func (c *Files) installWithMap(f Reading, next string, install func() error) error {
	path, ok := c.mapFile()
	if !ok || next == f.mapText {
		return install()
	}
	both := map[string]string{}
	for _, text := range []string{f.mapText, next} {
		for l := range strings.Lines(text) {
			if name, backend, ours := f.Managed.mapEntry(l); ours {
				both[name] = backend
			}
		}
	}
	interim := f.Managed.mapText(both, f.mapText)
	if interim != f.mapText {
		if err := Replace(path, c.Managed, interim); err != nil {
			return fmt.Errorf("replace %s: %w", path, err)
		}
	}
	if err := install(); err != nil || interim == next {
		return err
	}
	if err := Replace(path, c.Managed, next); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}

// install installs a new managed file.
func (c *Files) install(f Reading, made candidate) error {
	if err := made.install(); err != nil {
		return fmt.Errorf("replace %s: %w", c.Managed, err)
	}
	c.replaced(previous{f.Text, f.keyed})
	return nil
}

// byMap are the domains of a frontend that are routed by the map.
func (m *Managed) byMap(frontend string) (names []string) {
	for _, r := range rulesIn(frontend, m.Config.Rules) {
		if r.ByMap && !r.Closed {
			names = append(names, r.Domain)
		}
	}
	return names
}
