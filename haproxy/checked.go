package haproxy

import (
	"net/netip"
	"slices"
	"strings"
)

// CheckedAddrs are the addresses of all servers that the files name and have checked.
func (f Reading) CheckedAddrs() map[ServerKey]netip.AddrPort {
	return checkedAddrs(f.base.defaultServer, f.doc, f.baseDoc)
}

// checkedAddrs are the addresses of all servers that the files name and have checked: no check would ever take another one,
// said to be down, for well again. defaults are the words of the default-server lines above all sections.
func checkedAddrs(defaults string, docs ...document) map[ServerKey]netip.AddrPort {
	addrs := map[ServerKey]netip.AddrPort{}
	for _, d := range docs {
		for _, s := range d.sections {
			if s.kind != "backend" && s.kind != "listen" {
				continue
			}
			lines := d.body(s)
			byDefault := strings.Fields(defaults + " " + defaultServerWords(lines))
			for _, l := range lines {
				w := splitWords(l.raw)
				if len(w) < 3 || w[0] != "server" {
					continue
				}
				if server := readServer(w); server.Check || slices.Contains(byDefault, "check") && !slices.Contains(w, "no-check") {
					addrs[ServerKey{s.name, server.Name}] = server.Addr
				}
			}
		}
	}
	return addrs
}
