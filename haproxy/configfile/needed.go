package configfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// findNeeded finds the lines that name a server: use-server in its own backend, and track in any backend.
func (m *Managed) findNeeded(d Document, file string) {
	m.Needed = map[haproxy.ServerKey][]haproxy.Need{}
	for _, s := range d.sections {
		if s.kind != "backend" && s.kind != "listen" {
			continue
		}
		_, managed := m.backends[s.name]
		for i, l := range d.body(s) {
			name, keyword, ok := needs(l)
			if !ok {
				continue
			}
			backend, server, elsewhere := strings.Cut(name, "/")
			if !elsewhere {
				backend, server = s.name, name
			}
			if _, ours := m.backends[backend]; !ours {
				continue
			}
			need := haproxy.Need{Line: fmt.Sprintf("%s %s (%s:%d)", keyword, name, file, s.head+i+2), Tracks: keyword != "use-server"}
			if managed {
				need.Of.Backend = s.name
				if roleOf(l, false) == roleServer {
					need.Of.Name = splitWords(l.raw)[1]
				}
			}
			key := haproxy.ServerKey{Backend: backend, Name: server}
			m.Needed[key] = append(m.Needed[key], need)
		}
	}
}

// needs is the server that a line names, as it is written there.
func needs(l line) (name, keyword string, ok bool) {
	if l.off || !strings.Contains(l.raw, "use-server") && !strings.Contains(l.raw, "track") {
		return "", "", false
	}
	w := splitWords(l.raw)
	for i := range w {
		w[i] = unquote(w[i])
	}
	switch {
	case len(w) > 1 && w[0] == "use-server":
		return w[1], w[0], !strings.ContainsAny(w[1], "%[")
	case len(w) > 0 && (w[0] == "server" || w[0] == "default-server"):
		if i := slices.Index(w, "track"); i > 0 && i+1 < len(w) {
			return w[i+1], w[i], true
		}
	}
	return "", "", false
}
