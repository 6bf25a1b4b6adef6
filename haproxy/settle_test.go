package haproxy

import (
	"net/netip"
	"strings"
	"testing"
)

// With several threads, HAProxy 3.0 and later answer "set server ... addr" a little before the change is to be seen.
func TestAMoveThatIsSeenLateIsNotTakenForRefused(t *testing.T) {
	t.Parallel()
	eachHAProxy(t, func(t *testing.T, bin string) {
		threads := strings.Replace(plainBase, "nbthread 1", "nbthread 4", 1)
		p := startHAProxy(t, bin, threads, strings.ReplaceAll(twoDomains, "%s", "127.0.0.1:1"))
		r := runtimeOf(p)
		caps := capabilities(t, r)
		have := Server{Name: "server1", Addr: netip.MustParseAddrPort("127.0.0.1:1"), Cookie: "server1", Weight: 1, State: Ready}
		for i := range 3000 {
			want := have
			want.Addr = netip.AddrPortFrom(have.Addr.Addr(), uint16(i+2))
			if err := r.run(t.Context(), caps, []Change{SetServer{backendB, have, want}}, noParams, 0); err != nil {
				t.Fatalf("move %d: %v", i+1, err)
			}
			have = want
		}
	})
}
