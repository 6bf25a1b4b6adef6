package configfile

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// readBinds finds the addresses on which HAProxy listens, as its files say: bind lines, the sockets of the Runtime API, and peers, which are
// this HAProxy or another one.
func (b *Base) readBinds(sources []source, env environment) {
	for _, src := range sources {
		for _, s := range src.doc.sections {
			if slices.Contains([]string{"frontend", "listen", "peers", "log-forward"}, s.kind) && !s.off {
				b.bindsOf(src, s, env)
			}
		}
	}
	for _, socket := range append([]string{b.MasterSocket}, b.Sockets...) {
		b.bind(socket, nil, "the socket "+socket)
	}
}

// bindsOf reads the lines of a section with an address on which HAProxy listens.
func (b *Base) bindsOf(src source, s section, env environment) {
	at := map[string]int{"bind": 1} // which word is the address
	if s.kind == "peers" {
		at["peer"], at["server"] = 2, 2
	}
	for i := s.head + 1; i < s.content; i++ {
		l := src.doc.lines[i]
		address := at[firstWord(l.raw)]
		if address == 0 || l.off {
			continue
		}
		if w := expandWords(l.raw, env); len(w) > address {
			b.bind(w[address], w[address+1:], fmt.Sprintf("%s %s (%s:%d)", s.kind, s.name, src.path, i+1))
		}
	}
}

// bind records the addresses of a bind line or of a stats socket.
func (b *Base) bind(addresses string, options []string, place string) {
	for address := range strings.SplitSeq(addresses, ",") {
		ips, name, low, high := parseBind(address)
		if name != "" && high > 0 {
			b.named = append(b.named, namedBind{name, low, high, place})
		}
		if len(ips) == 1 && ips[0] == netip.IPv6Unspecified() && !slices.Contains(options, "v6only") {
			ips = append(ips, netip.IPv4Unspecified())
		}
		b.listen(ips, low, high, place)
	}
}

// listen records addresses with a range of ports; port 0 is skipped.
func (b *Base) listen(ips []netip.Addr, low, high int, place string) {
	for _, ip := range ips {
		for port := low; port <= high && port > 0; port++ {
			at := netip.AddrPortFrom(ip, uint16(port))
			b.Binds.Listeners[at] = cmp.Or(b.Binds.Listeners[at], place)
		}
	}
}

// parseBind parses addresses such as ":80", "*:80", "10.0.0.1:80-89", "[::]:80" or ":::80", maybe after "ipv4@" and the like. A host name may
// be any address of this machine; it is also returned as name. There are no addresses if it is not a TCP socket, or the port is unknown.
func parseBind(address string) (ips []netip.Addr, name string, low, high int) {
	family, rest, prefixed := strings.Cut(address, "@")
	if !prefixed {
		family, rest = "", address
	}
	switch family {
	case "", "ip", "ipv4", "ipv6", "tcp", "tcp4", "tcp6", "mptcp", "mptcp4", "mptcp6":
	default:
		return nil, "", 0, 0
	}
	colon := strings.LastIndexByte(rest, ':')
	if colon < 0 || strings.HasPrefix(rest, "/") {
		return nil, "", 0, 0
	}
	first, last, ranged := strings.Cut(rest[colon+1:], "-")
	low, err := strconv.Atoi(first)
	if high = low; err == nil && ranged {
		high, err = strconv.Atoi(last)
	}
	if err != nil || high > 65535 {
		return nil, "", 0, 0
	}
	switch host := strings.Trim(rest[:colon], "[]"); host {
	case "localhost":
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, "", low, high
	case "", "*":
		if strings.HasSuffix(family, "6") {
			return []netip.Addr{netip.IPv6Unspecified()}, "", low, high
		}
		return []netip.Addr{netip.IPv4Unspecified()}, "", low, high
	default:
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}, host, low, high
		}
		return []netip.Addr{ip.WithZone("").Unmap()}, "", low, high
	}
}

// localAddresses are the current addresses of the machine.
func localAddresses() map[netip.Addr]bool {
	local := map[netip.Addr]bool{}
	addrs, _ := net.InterfaceAddrs() // on an error, bind lines with addresses still count
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			local[p.Addr().WithZone("").Unmap()] = true
		}
	}
	return local
}

// UseMaster sets the address of the master's socket. changed means that the files must be read again.
func (c *Files) UseMaster(address string) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if address == "" || c.master == address {
		return false
	}
	c.master, c.last = address, Reading{}
	return true
}
