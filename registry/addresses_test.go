package registry

import (
	"net/netip"
	"strings"
	"testing"
)

// reasonOf is why the address is refused, in short; "" if it is allowed.
func reasonOf(t *testing.T, a Addresses, ip string) string {
	t.Helper()
	err := a.Check(netip.AddrPortFrom(netip.MustParseAddr(ip).Unmap(), 80))
	if err == nil {
		return ""
	}
	if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "address ") || !strings.Contains(err.Error(), "--a") {
		t.Errorf("%s: %q names no address or no way out", ip, err)
	}
	return err.Error()
}

func TestAddressesThatNoOtherMachineHasAreRefused(t *testing.T) {
	t.Parallel()
	for ip, says := range map[string]string{
		"10.0.0.1": "", "192.168.1.1": "", "172.16.0.1": "", "8.8.8.8": "", "100.64.0.1": "", "fd00::1": "", "2001:db8::1": "", "::ffff:10.0.0.1": "",
		"126.255.255.255": "", "127.0.0.0": "loopback", "127.0.0.1": "loopback", "127.255.255.255": "loopback", "128.0.0.0": "",
		"::1": "loopback", "::ffff:127.0.0.1": "loopback", "::127.0.0.1": "stands for 127.0.0.1, a loopback", "::2": "stands for 0.0.0.2",
		"0.0.0.0": "unspecified", "0.255.255.255": "unspecified", "1.0.0.0": "", "::": "unspecified",
		"169.253.255.255": "", "169.254.0.0": "link-local", "169.254.169.254": "link-local", "169.254.255.255": "link-local", "169.255.0.0": "",
		"fe7f:ffff::1": "", "fe80::1": "link-local", "febf:ffff::1": "link-local", "fec0::1": "",
		"223.255.255.255": "", "224.0.0.1": "multicast", "239.255.255.255": "multicast", "ff02::1": "multicast",
		"240.0.0.0": "reserved", "255.255.255.255": "reserved", "::ffff:169.254.169.254": "link-local", "::a9fe:a9fe": "link-local",
		"64:ff9b::7f00:1": "stands for 127.0.0.1", "64:ff9b::a9fe:a9fe": "link-local", "64:ff9b::0a00:1": "", "64:ff9b::f000:1": "reserved",
		"64:ff9b:1::7f00:1": "NAT64", "64:ff9b:1:7f00:0:100::": "NAT64", "64:ff9b:2::a00:1": "",
		"2002:7f00:1::1": "stands for 127.0.0.1", "2002:a9fe:a9fe::": "link-local", "2002:0a00:1::1": "",
		"2001:0:a00:1::80ff:fffe": "stands for 127.0.0.1", "2001:0:7f00:1::f5ff:fffe": "stands for 127.0.0.1", "2001:0:a00:1::f5ff:fffe": "",
	} {
		if got := reasonOf(t, Addresses{}, ip); got == "" != (says == "") || !strings.Contains(got, says) {
			t.Errorf("%s: %q, want %q", ip, got, says)
		}
	}
}

func TestTheLoopbackIsTakenWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	for ip, taken := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true, "10.0.0.1": true, "169.254.0.1": false, "0.0.0.1": false,
	} {
		if got := reasonOf(t, Addresses{Loopback: true}, ip); taken != (got == "") {
			t.Errorf("%s: %q", ip, got)
		}
	}
}

func TestOnlyAddressesOfTheNetworksAreTaken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		networks string
		loopback bool
		ip, says string
	}{
		{"10.0.0.0/8", false, "10.1.2.3", ""},
		{"10.0.0.0/8", false, "11.0.0.0", "none of the networks of --addresses"},
		{"10.0.0.0/8", false, "fd00::1", "none of the networks"},
		{"10.0.0.0/8,fd00::/8", false, "fd00::1", ""},
		{"10.0.0.0/8", true, "127.0.0.1", "none of the networks"},
		{"10.0.0.7/32", false, "10.0.0.7", ""},
		{"10.0.0.7/32", false, "10.0.0.8", "none of the networks"},
		{"0.0.0.0/0", false, "8.8.8.8", ""},
		{"0.0.0.0/0", false, "127.0.0.1", "loopback"},
		{"0.0.0.0/0", true, "127.0.0.1", ""},
		{"0.0.0.0/0", false, "169.254.169.254", "link-local"},
		{"126.0.0.0/7", false, "127.0.0.1", "loopback"},
		{"127.0.0.0/8", false, "127.0.0.1", ""},
		{"127.0.0.2/32", false, "127.0.0.2", ""},
		{"127.0.0.2/32", false, "127.0.0.1", "none of the networks"},
		{"0.0.0.0/0,127.0.0.2/32", false, "127.0.0.1", "loopback"},
		{"169.254.1.0/24", false, "169.254.1.1", ""},
		{"::/0", false, "::1", "loopback"},
		{"::/0", false, "2001:db8::1", ""},
		{"::/0", false, "10.0.0.1", "none of the networks"},
		{"::/0", false, "64:ff9b::7f00:1", "stands for 127.0.0.1"},
		{"64:ff9b::/96", false, "64:ff9b::7f00:1", "stands for 127.0.0.1"},
		{"64:ff9b::/96,127.0.0.0/8", false, "64:ff9b::7f00:1", ""},
		{"64:ff9b::/96", false, "64:ff9b::a00:1", ""},
	} {
		networks, err := ParseNetworks(strings.Split(tt.networks, ",")...)
		if err != nil {
			t.Fatal(err)
		}
		if got := reasonOf(t, Addresses{networks, tt.loopback}, tt.ip); got == "" != (tt.says == "") || !strings.Contains(got, tt.says) {
			t.Errorf("%s in %s, loopback %t: %q, want %q", tt.ip, tt.networks, tt.loopback, got, tt.says)
		}
	}
}

func TestANetworkThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for word, says := range map[string]string{
		"10.0.0.0": "is not a network such as 10.0.0.0/8 or fd00::/8", "x/8": "is not a network", "10.0.0.0/33": "is not a network",
		"10.0.0.1/8": "write 10.0.0.0/8", "fd00::1/8": "write fd00::/8", "::ffff:10.0.0.0/104": "write it as IPv4", "": "is not a network",
	} {
		if _, err := ParseNetworks(word); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", word, err)
		}
	}
}

func TestARefusedAddressIsABadValueOfItsHost(t *testing.T) {
	t.Parallel()
	kvs := []KeyValue{
		{Key: "/p/a.abc.com/good/ip", Value: "10.0.0.1"}, {Key: "/p/a.abc.com/good/port", Value: "80"},
		{Key: "/p/a.abc.com/etcd/ip", Value: "127.0.0.1"}, {Key: "/p/a.abc.com/etcd/port", Value: "2379"}, {Key: "/p/a.abc.com/half/ip", Value: "127.0.0.1"},
	}
	domains, problems, _ := Decode("/p", kvs, Addresses{})
	if len(domains) != 1 || len(domains[0].Hosts) != 1 || len(domains[0].HeldHosts) != 1 || domains[0].HeldHosts[0] != "etcd" || len(domains[0].Pending) != 1 {
		t.Errorf("%+v", domains)
	}
	if len(problems) != 1 || problems[0].Key != "/p/a.abc.com/etcd/ip" || problems[0].Host != "etcd" || !problems[0].Holds() ||
		!strings.Contains(problems[0].Reason, "address 127.0.0.1:2379 is refused: it is a loopback address") {
		t.Errorf("%+v", problems)
	}
	if domains, problems, _ := Decode("/p", kvs, Addresses{Loopback: true}); len(domains[0].Hosts) != 2 || len(problems) != 0 {
		t.Errorf("%+v %+v", domains, problems)
	}
}
