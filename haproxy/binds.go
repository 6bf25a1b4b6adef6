package haproxy

import "net/netip"

// Binds are the addresses at which HAProxy itself listens, as far as its files tell.
type Binds struct {
	// Listeners say where in the files an address is bound. One that is unspecified is every address of this machine, of its family.
	Listeners map[netip.AddrPort]string
	// Local are the addresses of this machine; the loopback goes without saying.
	Local map[netip.Addr]bool
}

// At is the place of the line that binds an address; empty if none does.
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
