package registry

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Addresses says which addresses hosts may have. The zero value allows all addresses that another machine can have.
type Addresses struct {
	// Only are the networks that addresses must be in; empty for all.
	Only []netip.Prefix
	// Loopback also allows loopback addresses, if Only has them or is empty.
	Loopback bool
}

// A special range has no address of another machine.
type special struct {
	what string
	netip.Prefix
}

const loopback = "a loopback address"

// localNAT64 is the range of local-use NAT64 (RFC 8215). Each site chooses how its addresses embed IPv4 addresses.
func localNAT64() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{1: 0x64, 2: 0xff, 3: 0x9b, 5: 1}), 48)
}

// specialOf returns the special range of an address; the zero value if there is none.
func specialOf(ip netip.Addr) special {
	what, bits4, bits6 := "", 0, 0
	switch {
	case ip.IsLoopback():
		what, bits4, bits6 = loopback, 8, 128
	case ip.IsLinkLocalUnicast():
		what, bits4, bits6 = "a link-local address", 16, 10
	case ip.IsUnspecified() || ip.Is4() && ip.As4()[0] == 0:
		what, bits4, bits6 = "an unspecified address", 8, 128
	case ip.IsMulticast():
		what, bits4, bits6 = "a multicast address", 4, 8
	case ip.Is4() && ip.As4()[0] >= 240:
		what, bits4 = "a reserved address", 4
	case localNAT64().Contains(ip):
		return special{"a translator's address (NAT64), which may stand for any IPv4 address", localNAT64()}
	default:
		return special{}
	}
	bits := bits6
	if ip.Is4() {
		bits = bits4
	}
	return special{what, netip.PrefixFrom(ip, bits).Masked()}
}

// ParseNetworks reads networks such as 10.0.0.0/8.
func ParseNetworks(words ...string) ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, len(words))
	for i, word := range words {
		p, err := netip.ParsePrefix(word)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s is not a network such as 10.0.0.0/8 or fd00::/8", Quote(word))
		case p.Addr().Is4In6():
			return nil, fmt.Errorf("%s is a network of IPv4 addresses: write it as IPv4", Quote(word))
		case p != p.Masked():
			return nil, fmt.Errorf("%s is an address with the length of its network: write %s", Quote(word), p.Masked())
		}
		networks[i] = p
	}
	return networks, nil
}

// Check returns why a host may not have an address, and which flag allows it.
func (a Addresses) Check(addr netip.AddrPort) error {
	if err := a.check(addr.Addr()); err != nil {
		return fmt.Errorf("address %s is refused: %w", addr, err)
	}
	return nil
}

func (a Addresses) check(ip netip.Addr) error {
	if len(a.Only) > 0 && !slices.ContainsFunc(a.Only, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return errors.New("it is in none of the networks of --addresses")
	}
	if r := specialOf(ip); !a.allows(r, ip) {
		return fmt.Errorf("it is %s, which is no other machine's; %s takes it", r.what, r.remedy())
	}
	for _, inner := range embedded(ip) {
		if r := specialOf(inner); !a.allows(r, inner) {
			return fmt.Errorf("it stands for %s, %s, which is no other machine's; %s takes it", inner, r.what, r.remedy())
		}
	}
	return nil
}

// allows reports whether an address of a special range is allowed: if Only has a network that contains the address and lies
// within the range. A network larger than the range, such as 0.0.0.0/0, does not allow it.
func (a Addresses) allows(r special, ip netip.Addr) bool {
	return r.what == "" || r.what == loopback && a.Loopback ||
		slices.ContainsFunc(a.Only, func(p netip.Prefix) bool { return p.Bits() >= r.Bits() && p.Contains(ip) })
}

func (r special) remedy() string {
	if r.what == loopback {
		return "--allow-loopback"
	}
	return "--addresses " + r.String()
}

// embedded returns the IPv4 addresses that an IPv6 address embeds: IPv4-compatible (::a.b.c.d), NAT64, 6to4, and Teredo's
// server and client.
func embedded(ip netip.Addr) []netip.Addr {
	if !ip.Is6() || ip.IsLoopback() {
		return nil
	}
	b := ip.As16()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	switch [4]byte(b[:4]) {
	case [4]byte{0, 0, 0, 0}, [4]byte{0, 0x64, 0xff, 0x9b}:
		if [8]byte(b[4:12]) == [8]byte{} {
			return []netip.Addr{at(12)}
		}
	case [4]byte{0x20, 0x01, 0, 0}:
		client := [4]byte{^b[12], ^b[13], ^b[14], ^b[15]}
		return []netip.Addr{at(4), netip.AddrFrom4(client)}
	}
	if b[0] == 0x20 && b[1] == 0x02 {
		return []netip.Addr{at(2)}
	}
	return nil
}
