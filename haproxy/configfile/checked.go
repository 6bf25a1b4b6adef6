package configfile

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// CheckedAddrs are the addresses of all servers that the files name and have checked.
func (f Reading) CheckedAddrs() map[haproxy.ServerKey]netip.AddrPort {
	return checkedAddrs(f.Base.defaultServer, f.doc, f.baseDoc)
}

// checkedAddrs are the addresses of all servers that the files name and have checked: no check would ever take another one,
// said to be down, for well again. defaults are the words of the default-server lines above all sections.
func checkedAddrs(defaults string, docs ...Document) map[haproxy.ServerKey]netip.AddrPort {
	addrs := map[haproxy.ServerKey]netip.AddrPort{}
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
					addrs[haproxy.ServerKey{Backend: s.name, Name: server.Name}] = server.Addr
				}
			}
		}
	}
	return addrs
}
