package registry

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// errUnknown is what set returns for a name that is not in the layout.
var errUnknown = errors.New("unknown attribute")

// trimmed returns the reason why the value is bad: white space around it where it is that alone,
// because etcdctl takes a value with its line end from a file, which is hard to see; else err.
func trimmed(err error, value string, scratch interface {
	set(name, value string) error
}, name string) error {
	without := strings.TrimSpace(value)
	if without == value || scratch.set(name, without) != nil {
		return err
	}
	where := "around it"
	switch without {
	case strings.TrimLeft(value, " \t\r\n\v\f"):
		where = "at its start"
	case strings.TrimRight(value, " \t\r\n\v\f"):
		where = "at its end"
	}
	return fmt.Errorf("%s %s has white space %s: write it without", name, Quote(value), where)
}

func parseIP(value string) (netip.Addr, error) {
	bad := func(why string) (netip.Addr, error) {
		return netip.Addr{}, fmt.Errorf("ip %s %s", Quote(value), why)
	}
	ip, err := netip.ParseAddr(value)
	if err != nil {
		return bad(whyNoIP(value))
	}
	if ip.Zone() != "" {
		return bad("has a zone: only addresses without one are the same on every machine")
	}
	ip = ip.Unmap()
	switch {
	case ip.IsUnspecified():
		return bad("is the unspecified address: write the one that the host listens on")
	case ip.IsMulticast():
		return bad("is a multicast address: write the one of a single host")
	case ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return bad("is the broadcast address: write the one of a single host")
	}
	return ip, nil
}

func whyNoIP(value string) string {
	if _, err := netip.ParseAddrPort(value); err == nil {
		return "has a port, which is a key of its own: write the address alone"
	}
	if _, err := netip.ParsePrefix(value); err == nil {
		return "is a network: write the address of a single host"
	}
	return `is not an IPv4 or IPv6 address such as 10.0.0.1 or fd00::1 (no names, no leading zeros)`
}

// parseNumber takes decimal digits only: no sign, no leading zeros.
func parseNumber(name, value string, low, high int) (int, error) {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil || int(n) < low || int(n) > high {
		return 0, fmt.Errorf("%s %s is not a number of %d to %d", name, Quote(value), low, high)
	}
	if len(value) > 1 && value[0] == '0' {
		return 0, fmt.Errorf("%s %s has leading zeros: write %d", name, Quote(value), n)
	}
	return int(n), nil
}

// parseWord returns the one of the words that the value is.
func parseWord[W ~string](name, value string, words ...W) (W, error) {
	if i := slices.Index(words, W(value)); i >= 0 {
		return words[i], nil
	}
	list := make([]string, len(words))
	for i, word := range words {
		list[i] = string(word)
	}
	return "", fmt.Errorf("%s %s is not one of %s", name, Quote(value), strings.Join(list, ", "))
}

// parseCheck takes the characters that RFC 3986 has for a path and a query, but for those that
// mean something in HAProxy's configuration: the single quote, the semicolon and the dollar sign.
func parseCheck(value string) (string, error) {
	switch {
	case value == "tcp":
		return "tcp", nil
	case value == "off":
		return "off", nil
	case !strings.HasPrefix(value, "/"):
		return "", fmt.Errorf(`check %s is not "tcp", "off" or a path that starts with "/"`, Quote(value))
	case len(value) > maxCheck:
		return "", fmt.Errorf("check %s is longer than %d bytes", Quote(value), maxCheck)
	}
	for i := range len(value) {
		if !checkByte(value[i]) {
			return "", fmt.Errorf("check %s has %s, which a path here cannot have: percent-encode it", Quote(value), firstRune(value[i:]))
		}
		if value[i] == '%' && !escaped(value[i+1:]) {
			return "", fmt.Errorf(`check %s has a "%%" without two hexadecimal digits: write it as %%25`, Quote(value))
		}
	}
	return strings.Clone(value), nil
}

const maxCheck = 256

func checkByte(c byte) bool {
	return letterOrDigit(c) || strings.IndexByte("/?%-._~!&()*+,=:@", c) >= 0
}

func escaped(s string) bool {
	return len(s) >= 2 && hexDigit(s[0]) && hexDigit(s[1])
}

func hexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
