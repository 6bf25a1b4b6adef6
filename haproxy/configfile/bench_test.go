package configfile

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
)

// manyDomains has n domains with two servers each.
func manyDomains(n int) haproxy.Config {
	var c haproxy.Config
	for i := range n {
		d := fmt.Sprintf("d%05d.example.org", i)
		b := haproxy.Backend{Name: haproxy.BackendName(d), Options: haproxy.BackendOptions{Balance: "roundrobin", Cookie: haproxy.StickyCookie}}
		for k := range 2 {
			name := fmt.Sprintf("h%d", k)
			b.Servers = append(b.Servers, haproxy.Server{Name: name, Cookie: name, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(i >> 8), byte(i)}), uint16(10000+k)), Weight: 1, State: haproxy.Ready})
		}
		c.Backends = append(c.Backends, b)
		c.Rules = append(c.Rules, haproxy.Rule{Frontend: "webin", Domain: d})
	}
	return c
}

// BenchmarkEditBySize compares both methods to change one address in a file of n domains. Above editLimit a transaction costs too much.
func BenchmarkEditBySize(b *testing.B) {
	frontends := []string{"webin"}
	for _, n := range []int{10, 100, 1000, 10000} {
		have := manyDomains(n)
		d := parseDocument(newFile(frontends))
		text := splice(d, readManaged(d, frontends, "f", nil, noDefaults), have)
		want := manyDomains(n)
		want.Backends[n/2].Servers[0].Addr = netip.MustParseAddrPort("127.0.0.9:9")
		b.Run(fmt.Sprintf("transaction/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := transact(b.Context(), filepath.Join(b.TempDir(), "tx"), "haproxy", text, Managed{Config: have}, want); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(text))/1e3, "kB")
		})
		b.Run(fmt.Sprintf("rewrite/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d := parseDocument(text)
				splice(d, readManaged(d, frontends, "f", nil, noDefaults), want)
			}
		})
		b.Run(fmt.Sprintf("parse/%d", n), func(b *testing.B) {
			for b.Loop() {
				parseDocument(text)
			}
		})
		doc := parseDocument(text)
		b.Run(fmt.Sprintf("read/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				readManaged(doc, frontends, "f", nil, noDefaults)
			}
		})
		m := readManaged(doc, frontends, "f", nil, noDefaults)
		b.Run(fmt.Sprintf("foreign/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				foreignLines(doc, m)
			}
		})
	}
}
