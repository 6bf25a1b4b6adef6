package haproxy

import (
	"net/netip"
	"testing"
)

func TestAnAddressIsBoundByItselfOrAsOneOfThisMachine(t *testing.T) {
	t.Parallel()
	b := Binds{
		Listeners: map[netip.AddrPort]string{
			netip.MustParseAddrPort("203.0.113.9:80"): "exact", netip.MustParseAddrPort("0.0.0.0:443"): "v4", netip.MustParseAddrPort("[::]:8443"): "v6",
		},
		Local: map[netip.Addr]bool{netip.MustParseAddr("10.0.0.1"): true, netip.MustParseAddr("fd00::1"): true},
	}
	for addr, want := range map[string]string{
		"203.0.113.9:80": "exact", "203.0.113.9:81": "", "10.0.0.1:80": "",
		"10.0.0.1:443": "v4", "127.0.0.1:443": "v4", "127.9.9.9:443": "v4", "10.0.0.2:443": "", "[::1]:443": "", "[fd00::1]:443": "",
		"[fd00::1]:8443": "v6", "[::1]:8443": "v6", "10.0.0.1:8443": "", "[fd00::2]:8443": "",
	} {
		if got := b.At(netip.MustParseAddrPort(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if got := (Binds{}).At(netip.MustParseAddrPort("127.0.0.1:80")); got != "" {
		t.Errorf("without binds: %q", got)
	}
}
