package configfile

import (
	"net/netip"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// Checked is the address of a server, and whether HAProxy uses TLS to it.
type Checked struct {
	Addr netip.AddrPort
	TLS  bool
}

// Checked are all servers of the files that have a check. If another server were set to down, no check would ever bring it up again.
func (f Reading) Checked() map[haproxy.ServerKey]Checked {
	checked := map[haproxy.ServerKey]Checked{}
	var buffer wordBuffer
	for i, src := range f.sources {
		for _, s := range src.doc.sections {
			if s.kind != "backend" && s.kind != "listen" {
				continue
			}
			above := serverDefaults{words: f.inherited(i, s).server}
			for _, l := range src.doc.active(s) {
				above.read(l)
				w := appendWords(buffer[:0], l.raw)
				if len(w) < 3 || w[0] != "server" {
					continue
				}
				if server := readServer(w, above.given()); server.Check {
					tls := haproxy.LastWord(haproxy.LastWord(false, above.words, "ssl"), strings.Join(w, " "), "ssl")
					checked[haproxy.ServerKey{Backend: s.name, Name: server.Name}] = Checked{server.Addr, tls}
				}
			}
		}
	}
	return checked
}
