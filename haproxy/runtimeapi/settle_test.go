package runtimeapi

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// With several threads, HAProxy 3.0 and later answer "set server ... addr" a little before the change is visible.
func TestAMoveThatIsSeenLateIsNotTakenForRefused(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		threads := strings.Replace(haproxytest.PlainBase, "nbthread 1", "nbthread 4", 1)
		p := haproxytest.StartHAProxy(t, bin, threads, strings.ReplaceAll(haproxytest.TwoDomains, "%s", "127.0.0.1:1"))
		r := runtimeOf(p)
		caps := capabilities(t, r)
		have := haproxy.Server{Name: "server1", Addr: netip.MustParseAddrPort("127.0.0.1:1"), Cookie: "server1", Weight: 1, State: haproxy.Ready}
		for i := range 3000 {
			want := have
			want.Addr = netip.AddrPortFrom(have.Addr.Addr(), uint16(i+2))
			if err := r.run(t.Context(), caps, []haproxy.Change{haproxy.SetServer{Backend: haproxytest.BackendB, Have: have, Want: want}}, noParams, 0); err != nil {
				t.Fatalf("move %d: %v", i+1, err)
			}
			have = want
		}
	})
}
