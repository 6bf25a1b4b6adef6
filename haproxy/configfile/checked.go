package configfile

import (
	"net/netip"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// Checked is how HAProxy reaches a server: where, and whether with TLS.
type Checked struct {
	Addr netip.AddrPort
	TLS  bool
}

// Checked are all servers that the files name and have checked: no check would ever take another one, said to be down, for well
// again.
func (f Reading) Checked() map[haproxy.ServerKey]Checked {
	checked := map[haproxy.ServerKey]Checked{}
	for i, src := range f.sources {
		for _, s := range src.doc.sections {
			if s.kind != "backend" && s.kind != "listen" {
				continue
			}
			above := givers{words: f.inherited(i, s).server}
			for _, l := range src.doc.active(s) {
				above.pass(l)
				w := splitWords(l.raw)
				if len(w) < 3 || w[0] != "server" {
					continue
				}
				if server := readServer(w, above.given()); server.Check {
					checked[haproxy.ServerKey{Backend: s.name, Name: server.Name}] = Checked{server.Addr, usesTLS(strings.Fields(above.words), w)}
				}
			}
		}
	}
	return checked
}

// usesTLS reports whether the last word about it is for TLS.
func usesTLS(byDefault, words []string) (tls bool) {
	for _, w := range [][]string{byDefault, words} {
		for _, word := range w {
			tls = word == "ssl" || tls && word != "no-ssl"
		}
	}
	return tls
}
