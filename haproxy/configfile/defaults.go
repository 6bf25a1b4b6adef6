package configfile

import (
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// A source is one of HAProxy's files.
type source struct {
	path string
	doc  Document
}

// A defaultsSection is a defaults section.
type defaultsSection struct {
	file, head int
	name       string
	// lines are all its lines: first those of the section behind "from", then its own.
	lines []line
	// server has the words of its default-server lines.
	server string
}

// readDefaults reads the defaults sections of all files, in HAProxy's order.
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

// named is the last defaults section with a name.
func named(all []defaultsSection, name string) (defaultsSection, bool) {
	for i := len(all) - 1; i >= 0 && name != ""; i-- {
		if all[i].name == name {
			return all[i], true
		}
	}
	return defaultsSection{}, false
}

// inherited is the defaults section of a section: the one that it names, or else the last one above it.
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

// DefaultServer are the words of the default-server lines for a backend.
func (f Reading) DefaultServer(backend string) string {
	s, ok := f.Managed.backends[backend]
	if !ok {
		return f.inherited(f.at, f.Managed.fresh()).server
	}
	return f.inherited(f.at, s).server + " " + defaultServerWords(f.doc.active(s))
}

// effective are the lines in effect for a section: the inherited ones, then its own.
func (f Reading) effective(file int, s section) []line {
	inherited, own := f.inherited(file, s).lines, f.sources[file].doc.active(s)
	lines := make([]line, 0, len(inherited)+len(own))
	return append(append(lines, inherited...), own...)
}

// lastOf are the words behind a keyword in its last line.
func lastOf(lines []line, keyword string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if firstWord(lines[i].raw) == keyword {
			return strings.Join(splitWords(lines[i].raw)[1:], " ")
		}
	}
	return ""
}

// hasOption reports whether an option is on. The last line about it counts.
func hasOption(lines []line, name string) bool {
	var buffer wordBuffer
	for i := len(lines) - 1; i >= 0; i-- {
		w := appendWords(buffer[:0], lines[i].raw)
		switch {
		case len(w) >= 2 && w[0] == "option" && w[1] == name:
			return true
		case len(w) >= 3 && w[0] == "no" && w[1] == "option" && w[2] == name:
			return false
		}
	}
	return false
}

// DomainDefaults are the named defaults sections that give a backend of the process everything that a new backend in the managed file gets
// from its defaults and its own lines. They differ from the file's defaults only in balance and cookie, which are the key.
func (f Reading) DomainDefaults() map[haproxy.BackendOptions]string {
	found := map[haproxy.BackendOptions]string{}
	inherited := f.inherited(f.at, f.Managed.fresh()).lines
	if lastOf(inherited, "mode") != "http" {
		return found
	}
	rest := exceptOptions(inherited)
	count := map[string]int{}
	for _, d := range f.defaults {
		count[d.name]++
	}
	for _, d := range f.defaults {
		if !haproxy.PlainName(d.name) || count[d.name] > 1 || !slices.Equal(exceptOptions(d.lines), rest) {
			continue
		}
		options := haproxy.BackendOptions{
			Balance: lastOf(d.lines, "balance"), Cookie: canonicalCookie(strings.Fields(lastOf(d.lines, "cookie"))),
		}
		if _, known := found[options]; !known && !strings.ContainsAny(options.Balance+options.Cookie, `"'\$`) {
			found[options] = d.name
		}
	}
	return found
}

// exceptOptions are the lines of a defaults section, except those that hapsync writes into backends itself.
func exceptOptions(lines []line) []string {
	var rest []string
	for _, l := range lines {
		if w := splitWords(l.raw); len(w) > 0 && w[0] != "balance" && w[0] != "cookie" {
			rest = append(rest, strings.Join(w, " "))
		}
	}
	return rest
}
