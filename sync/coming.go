package sync

import "github.com/hapsync/hapsync/haproxy"

// comingLive are the domains of which a backend or a rule is new or changes, and all of that can come to the process.
func comingLive(changes []haproxy.Change, st haproxy.State, running map[string]running) map[string]bool {
	coming := map[string]bool{}
	for _, c := range changes {
		if c.Op() == haproxy.OpRemove || c.Object() == haproxy.ObjectServer {
			continue
		}
		ok, _ := st.Dynamic.Live(c)
		before, known := coming[c.Domain()]
		coming[c.Domain()] = ok && (before || !known)
	}
	for _, c := range changes {
		if c.Op() == haproxy.OpAdd && c.Object() == haproxy.ObjectServer && coming[c.Domain()] {
			coming[c.Domain()], _ = live(c, st.Capabilities, running)
		}
	}
	return coming
}

// came adds those that have come, and of which only servers change: the file may not have them yet.
func (p *Plan) came(changes []haproxy.Change, st haproxy.State) {
	others := map[string]bool{}
	for _, c := range changes {
		others[c.Domain()] = others[c.Domain()] || c.Object() != haproxy.ObjectServer
	}
	for name := range st.Dynamic.Added {
		if domain, _ := haproxy.DomainOf(name); !others[domain] {
			p.coming[domain] = true
		}
	}
}
