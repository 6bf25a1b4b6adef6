package configfile

import (
	"strings"
)

// A source is one of HAProxy's files as it was read.
type source struct {
	path string
	doc  Document
}

// A defaultsSection is one that proxies may take their settings from.
type defaultsSection struct {
	file, head int
	name       string
	// lines are all that hold: those of the section that it is from, then its own.
	lines []line
	// server are the words of its default-server lines.
	server string
}

// readDefaults are the defaults sections of all files, in HAProxy's order.
func readDefaults(sources []source) []defaultsSection {
	var all []defaultsSection
	for i, src := range sources {
		for _, s := range src.doc.sections {
			if s.kind != "defaults" || s.off {
				continue
			}
			d := defaultsSection{file: i, head: s.head, name: s.name}
			if from, ok := named(all, s.from); ok {
				d.lines = append(d.lines, from.lines...)
			}
			d.lines = append(d.lines, src.doc.active(s)...)
			d.server = defaultServerWords(d.lines)
			all = append(all, d)
		}
	}
	return all
}

// named is the defaults section of a name, the last of several.
func named(all []defaultsSection, name string) (defaultsSection, bool) {
	for i := len(all) - 1; i >= 0 && name != ""; i-- {
		if all[i].name == name {
			return all[i], true
		}
	}
	return defaultsSection{}, false
}

// inherited are the defaults of a section: those that it names, else the last ones above it.
func (f Reading) inherited(file int, s section) defaultsSection {
	if d, ok := named(f.defaults, s.from); ok {
		return d
	}
	var last defaultsSection
	for _, d := range f.defaults {
		if d.file > file || d.file == file && d.head > s.head {
			break
		}
		last = d
	}
	return last
}

// DefaultServer are the words of the default-server lines that hold for a backend.
func (f Reading) DefaultServer(backend string) string {
	s, ok := f.Managed.backends[backend]
	if !ok {
		return f.inherited(f.at, f.Managed.fresh()).server
	}
	return f.inherited(f.at, s).server + " " + defaultServerWords(f.doc.active(s))
}

// effective are the lines that hold for a section of a file: the inherited ones, then its own.
func (f Reading) effective(file int, s section) []line {
	inherited, own := f.inherited(file, s).lines, f.sources[file].doc.active(s)
	lines := make([]line, 0, len(inherited)+len(own))
	return append(append(lines, inherited...), own...)
}

// lastOf are the words behind a keyword in the last line that has it.
func lastOf(lines []line, keyword string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if firstWord(lines[i].raw) == keyword {
			return strings.Join(splitWords(lines[i].raw)[1:], " ")
		}
	}
	return ""
}

// hasOption reports whether an option is on: the last line about it counts.
func hasOption(lines []line, name string) bool {
	for i := len(lines) - 1; i >= 0; i-- {
		w := splitWords(lines[i].raw)
		switch {
		case len(w) >= 2 && w[0] == "option" && w[1] == name:
			return true
		case len(w) >= 3 && w[0] == "no" && w[1] == "option" && w[2] == name:
			return false
		}
	}
	return false
}
