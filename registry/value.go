package registry

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errUnknown is returned by set for a name without a meaning.
var errUnknown = errors.New("unknown attribute")

// spaceError returns a better error if only white space around the value makes it bad, which is hard to see: etcdctl keeps the
// line end of a value that it reads from a file. Otherwise it returns err.
func spaceError(err error, value string, scratch interface {
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
	return fmt.Errorf("%s %s has white space %s: write it without", cmp.Or(name, "address"), Quote(value), where)
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

// parseAddress takes ip:port, with an IPv6 address in brackets.
func parseAddress(value string) (netip.AddrPort, error) {
	bad := func(why string) (netip.AddrPort, error) {
		return netip.AddrPort{}, fmt.Errorf("address %s %s", Quote(value), why)
	}
	if value == "" {
		return bad("is empty: write ip:port such as 10.0.0.1:10000, or delete the key")
	}
	if _, err := netip.ParseAddr(value); err == nil {
		return bad("has no port, or an IPv6 address without brackets: write it as 10.0.0.1:10000 or [fd00::1]:10000")
	}
	colon := strings.LastIndexByte(value, ':')
	if colon < 0 || strings.HasSuffix(value, "]") {
		return bad("is not ip:port such as 10.0.0.1:10000")
	}
	host, inBrackets := value[:colon], false
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host, inBrackets = host[1:len(host)-1], true
	}
	ip, err := parseIP(host)
	if err == nil && inBrackets != strings.Contains(host, ":") {
		return bad("has brackets that do not belong there, or lacks them: write 10.0.0.1:10000 or [fd00::1]:10000")
	}
	var port int
	if err == nil {
		port, err = parseNumber("port", value[colon+1:], 1, 65535)
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %s: %w", Quote(value), err)
	}
	return netip.AddrPortFrom(ip, uint16(port)), nil
}

// looksLikeAddress reports whether a value looks like an address, good or bad: it begins with an IP address, or ends with a
// port.
func looksLikeAddress(value string) bool {
	value = strings.TrimSpace(value)
	if strings.HasPrefix(value, "[") && strings.Contains(value, "]") {
		_, err := netip.ParseAddr(value[1:strings.IndexByte(value, ']')])
		return err == nil
	}
	if end := strings.IndexAny(value, " \t\r\n,;/?#"); end > 0 {
		value = value[:end]
	}
	if _, err := netip.ParseAddr(value); err == nil {
		return true
	}
	host, port, found := strings.Cut(value, ":")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	const digits = "0123456789"
	return found && (host == "" || strings.Trim(host, digits) != "") && !strings.ContainsAny(host, ` "{`) && strings.Trim(port, digits) == ""
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

// parseWord returns the word that equals the value.
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

func parseBool(name, value string) (bool, error) {
	word, err := parseWord(name, value, "true", "false")
	return word == "true", err
}

// parseTimeout takes a whole number with its unit, one day at most.
func parseTimeout(name, value string) (string, error) {
	if d, ok := parseTime(value); !ok || d > 24*time.Hour {
		return "", fmt.Errorf("%s %s is no time such as 30s or 5m, 1s to 24h", name, Quote(value))
	}
	return strings.Clone(value), nil
}
