package configfile

import (
	"fmt"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// Warnings name parts of a valid configuration that do not do what they say.
func (c *Files) Warnings(f Reading) []string {
	var found []string
	if f.Restored {
		found = append(found, fmt.Sprintf("%s is missing or empty; it is written again from what HAProxy loaded last (%s): what you changed in it since is lost",
			c.Managed, c.LoadedFile()))
	}
	for _, name := range c.frontends {
		s := f.Managed.frontends[name]
		if lastOf(f.effective(f.at, s), "mode") != "http" {
			found = append(found, fmt.Sprintf("frontend %s is not in mode http, so that its Host rules and cookies do nothing, and requests "+
				"go anywhere; %s", name, c.modeRemedy(f, s)))
		}
	}
	return slices.Concat(found, c.leftRules(f), f.unknownNames(), c.shadowed(f))
}

// modeRemedy says where a frontend gets another mode than http from, and what to write there.
func (c *Files) modeRemedy(f Reading, s section) string {
	own := -1
	for i, l := range f.doc.body(s) {
		if firstWord(l.raw) == "mode" && !l.off {
			own = s.head + 2 + i
		}
	}
	if own > 0 {
		return fmt.Sprintf("delete its own line \"mode %s\" (%s:%d), or write \"mode http\" there", lastOf(f.doc.active(s), "mode"), c.Managed, own)
	}
	if d := f.inherited(f.at, s); d.lines != nil {
		return fmt.Sprintf("write \"mode http\" into its defaults (%s:%d)", f.sources[d.file].path, d.head+1)
	}
	return fmt.Sprintf("write \"mode http\" into the defaults of %s", c.Base)
}

// leftRules warns of rules of ours in frontends that are not, or no longer, managed: hapsync does not change them, and HAProxy refuses the
// file if it lacks a backend to which they lead.
func (c *Files) leftRules(f Reading) []string {
	var found []string
	for _, s := range f.doc.sections {
		if s.kind != "frontend" || s.off || slices.Contains(c.frontends, s.name) {
			continue
		}
		if at := f.leftRule(s); at > 0 {
			found = append(found, fmt.Sprintf("frontend %s still has hapsync's rules (%s:%d), which hapsync no longer follows: "+
				"name it in --frontend, or delete them", s.name, c.Managed, at))
		}
	}
	return found
}

// leftRule is the number of the first line of a frontend that is a rule of ours, with its ACL; 0 if there is none.
func (f Reading) leftRule(s section) int {
	acls := map[string]bool{}
	for i, l := range f.doc.body(s) {
		domain, kind, ours := ownLine(l)
		_, managed := f.Managed.backends[haproxy.BackendName(domain)]
		switch {
		case l.off || !ours || !managed:
		case kind == "acl":
			acls[domain] = true
		case kind == "use_backend" && acls[domain]:
			return s.head + 2 + i
		}
		if r, ok := readMapRule(l); ok && r.all && !l.off && len(acls) > 0 {
			return s.head + 2 + i
		}
	}
	return 0
}
