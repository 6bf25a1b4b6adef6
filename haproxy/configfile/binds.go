package configfile

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// readBinds finds the addresses where HAProxy listens by what its files say: bind lines, and the sockets of the Runtime API.
func (b *Base) readBinds(sources []source, set map[string]string) {
	for _, src := range sources {
		for _, s := range src.doc.sections {
			if slices.Contains([]string{"frontend", "listen", "peers", "log-forward"}, s.kind) && !s.off {
				b.bindsOf(src, s, set)
			}
		}
	}
	for _, socket := range append([]string{b.MasterSocket}, b.Sockets...) {
		b.bind(socket, nil, "the socket "+socket)
	}
}

// bindsOf takes the bind lines of a section. A line with a variable that is not known here says nothing.
func (b *Base) bindsOf(src source, s section, set map[string]string) {
	for i := s.head + 1; i < s.content; i++ {
		l := src.doc.lines[i]
		if l.off || firstWord(l.raw) != "bind" {
			continue
		}
		known := true
		words := meaning(l.raw, func(name string) string {
			value := cmp.Or(set[name], os.Getenv(name))
			known = known && (value != "" || strings.Contains(l.raw, "{"+name+"-"))
			return value
		})
		if known && len(words) > 1 {
			b.bind(words[1], words[2:], fmt.Sprintf("%s %s (%s:%d)", s.kind, s.name, src.path, i+1))
		}
	}
}

// bind takes note of the addresses of a bind line, or of a stats socket.
func (b *Base) bind(addresses string, options []string, place string) {
	for address := range strings.SplitSeq(addresses, ",") {
		ips, low, high := parseBind(address)
		if len(ips) == 1 && ips[0] == netip.IPv6Unspecified() && !slices.Contains(options, "v6only") {
			ips = append(ips, netip.IPv4Unspecified())
		}
		for _, ip := range ips {
			for port := low; port <= high && port > 0; port++ {
				at := netip.AddrPortFrom(ip, uint16(port))
				b.Binds.Listeners[at] = cmp.Or(b.Binds.Listeners[at], place)
			}
		}
	}
}

// parseBind are the addresses of the forms ":80", "*:80", "10.0.0.1:80-89", "[::]:80" or ":::80", with "ipv4@" and the like before
// them. There is none for a socket of another kind than TCP, a host name, or a port that is not known.
func parseBind(address string) (ips []netip.Addr, low, high int) {
	family, rest, prefixed := strings.Cut(address, "@")
	if !prefixed {
		family, rest = "", address
	}
	switch family {
	case "", "ip", "ipv4", "ipv6", "tcp", "tcp4", "tcp6", "mptcp", "mptcp4", "mptcp6":
	default:
		return nil, 0, 0
	}
	colon := strings.LastIndexByte(rest, ':')
	if colon < 0 || strings.HasPrefix(rest, "/") {
		return nil, 0, 0
	}
	first, last, ranged := strings.Cut(rest[colon+1:], "-")
	low, err := strconv.Atoi(first)
	if high = low; err == nil && ranged {
		high, err = strconv.Atoi(last)
	}
	if err != nil || high > 65535 {
		return nil, 0, 0
	}
	switch host := strings.Trim(rest[:colon], "[]"); host {
	case "localhost":
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, low, high
	case "", "*":
		if strings.HasSuffix(family, "6") {
			return []netip.Addr{netip.IPv6Unspecified()}, low, high
		}
		return []netip.Addr{netip.IPv4Unspecified()}, low, high
	default:
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return nil, 0, 0
		}
		return []netip.Addr{ip.WithZone("").Unmap()}, low, high
	}
}

// localAddresses are those that the machine has now.
func localAddresses() map[netip.Addr]bool {
	local := map[netip.Addr]bool{}
	addrs, _ := net.InterfaceAddrs() // without them, bind lines that name addresses still count
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			local[p.Addr().WithZone("").Unmap()] = true
		}
	}
	return local
}
