package haproxy

import "net/netip"

// Binds are the addresses on which HAProxy itself listens, as far as its files show.
type Binds struct {
	// Listeners are the places of the bind lines. An unspecified address means all addresses of its family on this machine.
	Listeners map[netip.AddrPort]string
	// Local are the addresses of this machine; loopback addresses need not be listed.
	Local map[netip.Addr]bool
}

// At is the place of the line that binds an address; empty if no line does.
func (b Binds) At(addr netip.AddrPort) string {
	if place := b.Listeners[addr]; place != "" || len(b.Listeners) == 0 {
		return place
	}
	every := netip.IPv4Unspecified()
	if addr.Addr().Is6() {
		every = netip.IPv6Unspecified()
	}
	place := b.Listeners[netip.AddrPortFrom(every, addr.Port())]
	if place == "" || !addr.Addr().IsLoopback() && !b.Local[addr.Addr()] {
		return ""
	}
	return place
}
