package configfile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// The map file follows from the managed file: for each domain whose rule is ByMap it has the domain's name and its further names, but for
// wildcards, which have rules. An entry that leads to no backend of hapsync's is left alone.

// mapFile is the map file, and whether its path can stand in a rule.
func (c *Files) mapFile() (path string, ok bool) { return MapFile(c.Managed) }

// readsMap reports whether a text of the managed file has a rule that reads the map file.
func (c *Files) readsMap(text string) bool {
	path, ok := c.mapFile()
	return ok && strings.Contains(text, "map("+path+")")
}

// readMapFile is the text of the map file that a text of the managed file has a rule for; empty where it has none.
func (c *Files) readMapFile(managed string) (text string, there bool, err error) {
	if !c.readsMap(managed) {
		return "", false, nil
	}
	path, _ := c.mapFile()
	return ReadBeside(path)
}

// findMapFile refuses rules by the map if no rule can read the file.
func (c *Files) findMapFile(want haproxy.Config) error {
	if path, ok := c.mapFile(); !ok && slices.ContainsFunc(want.Rules, isByMap) {
		return fmt.Errorf("%s cannot stand in a rule of HAProxy's: --routing map needs a managed file whose path has letters, digits and / . _ - only", path)
	}
	return nil
}

// mapEntries are those that the map file is to have.
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

// mapText is a text of the map file with some entries in the place of those of hapsync's.
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

// mapEntry reads a line of the map file; ours is false for one that hapsync would not write.
func (m *Managed) mapEntry(l string) (name, backend string, ours bool) {
	w := strings.Fields(l)
	if len(w) != 2 || !haproxy.PlainName(w[0]) || !haproxy.PlainName(w[1]) {
		return "", "", false
	}
	domain, ok := haproxy.DomainOf(w[1])
	return w[0], w[1], ok && m.Foreign[domain] == ""
}

// findStaleMap finds out whether the map file, and the rules that read it, are as the managed file wants them.
func (c *Files) findStaleMap(f *Reading) {
	path, ok := c.mapFile()
	wrong := false // the managed file was moved
	for _, r := range f.Managed.mapRules {
		wrong = wrong || ok && r.file != path
	}
	f.Managed.StaleMap = wrong || c.readsMap(f.Text) && (!f.mapThere || f.mapText != f.Managed.mapText(mapEntries(f.Managed.Config), f.mapText))
}

// keepMapFile makes sure that the map file is there, without which HAProxy does not start, if a text has a rule that reads it.
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

// installWithMap puts a new managed file in place, and the map file that goes with it. In between the map file has the entries of both, so
// that HAProxy, if it starts then, knows each domain that either file has: an entry whose backend is not there yet, or no more, is
// one of an unknown domain.
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
	amid := f.Managed.mapText(both, f.mapText)
	if amid != f.mapText {
		if err := Replace(path, c.Managed, amid); err != nil {
			return fmt.Errorf("replace %s: %w", path, err)
		}
	}
	if err := install(); err != nil || amid == next {
		return err
	}
	if err := Replace(path, c.Managed, next); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}

// install puts a new managed file in place.
func (c *Files) install(f Reading, made candidate) error {
	if err := made.install(); err != nil {
		return fmt.Errorf("replace %s: %w", c.Managed, err)
	}
	c.replaced(previous{f.Text, f.keyed})
	return nil
}

// byMap are the domains of a frontend that it has by the map.
func (m *Managed) byMap(frontend string) (names []string) {
	for _, r := range rulesIn(frontend, m.Config.Rules) {
		if r.ByMap && !r.Closed {
			names = append(names, r.Domain)
		}
	}
	return names
}
