package configfile

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// CheckedAddrs are the addresses of all servers that the files name and have checked: no check would ever take another one,
// said to be down, for well again.
func (f Reading) CheckedAddrs() map[haproxy.ServerKey]netip.AddrPort {
	addrs := map[haproxy.ServerKey]netip.AddrPort{}
	for i, src := range f.sources {
		for _, s := range src.doc.sections {
			if s.kind != "backend" && s.kind != "listen" {
				continue
			}
			own := src.doc.active(s)
			byDefault := strings.Fields(f.inherited(i, s).server + " " + defaultServerWords(own))
			for _, l := range own {
				w := splitWords(l.raw)
				if len(w) < 3 || w[0] != "server" {
					continue
				}
				if server := readServer(w, haproxy.Given{}); server.Check || slices.Contains(byDefault, "check") && !slices.Contains(w, "no-check") {
					addrs[haproxy.ServerKey{Backend: s.name, Name: server.Name}] = server.Addr
				}
			}
		}
	}
	return addrs
}
