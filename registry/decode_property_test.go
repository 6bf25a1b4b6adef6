package registry

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sameMemory reports whether the bytes of the one are among those of the other.
func sameMemory(part, whole string) bool {
	if part == "" || whole == "" {
		return false
	}
	at := uintptr(unsafe.Pointer(unsafe.StringData(part)))
	from := uintptr(unsafe.Pointer(unsafe.StringData(whole)))
	return from <= at && at < from+uintptr(len(whole))
}

// The grammar once more, told in another way than the code tells it.
var (
	goodDomain  = regexp.MustCompile(`\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\z`)
	goodHost    = regexp.MustCompile(`\A[A-Za-z0-9_.-]{1,64}\z`)
	goodBalance = regexp.MustCompile(`\A(roundrobin|static-rr|leastconn|first|random|source|uri)?\z`)
	goodCheck   = regexp.MustCompile(`\A(tcp|off|/([A-Za-z0-9/?._~!&()*+,=:@-]|%[0-9A-Fa-f]{2}){0,255})?\z`)
	goodReason  = regexp.MustCompile(`\A[ -~]{1,1000}\z`)
	goodKey     = regexp.MustCompile(`\A[ -~]+\z`)
)

// checkDecoded returns what is wrong with what Decode returned, whatever its input was.
func checkDecoded(domains []Domain, problems []Problem) error {
	if !slices.IsSortedFunc(domains, func(a, b Domain) int { return strings.Compare(a.Name, b.Name) }) {
		return fmt.Errorf("domains are not sorted: %v", domains)
	}
	held := map[string]bool{}
	for i, d := range domains {
		if i > 0 && domains[i-1].Name == d.Name {
			return fmt.Errorf("domain %s is there twice", d.Name)
		}
		if err := checkDecodedDomain(d); err != nil {
			return fmt.Errorf("domain %q: %w", d.Name, err)
		}
		if d.Held {
			held[d.Name+"/"] = true
		}
		for _, name := range d.HeldHosts {
			held[d.Name+"/"+name] = true
		}
	}
	return checkDecodedProblems(problems, held)
}

func checkDecodedDomain(d Domain) error {
	if !goodDomain.MatchString(d.Name) || len(d.Name) > 253 || !goodBalance.MatchString(d.Options.Balance) ||
		!goodCheck.MatchString(d.Options.Check) || len(d.Options.Check) > 256 {
		return fmt.Errorf("a name or an option has bytes that it may not have: %+v", d)
	}
	var hosts, pending []string
	for _, h := range d.Hosts {
		hosts = append(hosts, h.Name)
		if ip := h.Addr.Addr(); !h.Addr.IsValid() || h.Addr.Port() == 0 || ip.Zone() != "" || ip.Is4In6() || ip.IsMulticast() ||
			ip.IsUnspecified() || ip == netip.MustParseAddr("255.255.255.255") {
			return fmt.Errorf("address %s", h.Addr)
		}
		if h.Weight < 0 || h.Weight > 256 || h.MaxConn < 0 || h.MaxConn > 1e6 || (h.State != Ready && h.State != Drain && h.State != Maint) {
			return fmt.Errorf("host %+v", h)
		}
	}
	for _, p := range d.Pending {
		pending = append(pending, p.Host)
		if p.Missing != "ip" && p.Missing != "port" && p.Missing != "ip and port" {
			return fmt.Errorf("missing %q", p.Missing)
		}
	}
	for _, names := range [][]string{hosts, pending, d.HeldHosts} {
		if !slices.IsSorted(names) {
			return fmt.Errorf("not sorted: %q", names)
		}
	}
	all := slices.Sorted(slices.Values(slices.Concat(hosts, pending, d.HeldHosts)))
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		return fmt.Errorf("a host is there twice: %q", all)
	}
	for _, name := range all {
		if !goodHost.MatchString(name) {
			return fmt.Errorf("host %q", name)
		}
	}
	if len(all) == 0 && d.Options == (DomainOptions{}) && !d.Held {
		return fmt.Errorf("nothing is known of it")
	}
	return nil
}

// checkDecodedProblems wants a problem for all that is held, and nothing else to be held by one.
func checkDecodedProblems(problems []Problem, held map[string]bool) error {
	if !slices.IsSortedFunc(problems, func(a, b Problem) int { return strings.Compare(a.Key, b.Key) }) {
		return fmt.Errorf("problems are not sorted: %v", problems)
	}
	told := map[string]bool{}
	for _, p := range problems {
		if !goodReason.MatchString(p.Reason) || !goodKey.MatchString(p.Key) {
			return fmt.Errorf("problem %+v is not one printable line", p)
		}
		if !p.Holds() && p.Host != "" {
			return fmt.Errorf("problem %+v holds a host of no domain", p)
		}
		if badName := strings.Contains(p.Domain+p.Host, `"`); p.Holds() && !badName {
			told[p.Domain+"/"+p.Host] = true
		}
	}
	if diff := cmp.Diff(held, told); diff != "" {
		return fmt.Errorf("held, and told in problems, differ:\n%s", diff)
	}
	return nil
}

// keyValues draws keys that are near good ones: a few names, so that they meet in domains and hosts,
// and now and then a byte that does not belong there.
func keyValues() *rapid.Generator[[]KeyValue] {
	prefix := rapid.SampledFrom([]string{"/p/", "/p/", "/p/", "/p/", "/p/", "/p/", "/p/", "/p", "/p2/", "/", ""})
	domain := rapid.SampledFrom([]string{"a.com", "A.com", "a.COM", "a.com-x", "a.com.au", "b", "-b", "*.a.com", "", "a b"})
	host := rapid.SampledFrom([]string{"s", "s", "s-1", "S", "s.1", "balance", "", "s s"})
	attr := rapid.SampledFrom([]string{"ip", "ip", "port", "port", "weight", "maxconn", "backup", "state", "balance", "check", "x", "", "ip/x"})
	value := rapid.SampledFrom([]string{
		"10.0.0.1", "fd00::1", "::ffff:10.0.0.1", "80", "80", "1", "0", "true", "drain", "first", "/ok?x=%20", "tcp",
		"", "x", "80\n", "010.0.0.1", "::1%eth0", "10.0.0.1:80 check\n  http-request deny", "/a b", "\xff",
	})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) KeyValue {
		parts := []string{domain.Draw(t, "domain"), host.Draw(t, "host"), attr.Draw(t, "attr")}
		depth := rapid.SampledFrom([]int{3, 3, 3, 3, 3, 3, 2, 1, 0}).Draw(t, "depth")
		if depth == 2 {
			parts[1] = parts[2]
		}
		kv := KeyValue{prefix.Draw(t, "prefix") + strings.Join(parts[:depth], "/"), value.Draw(t, "value")}
		if rapid.IntRange(0, 15).Draw(t, "spoil") == 0 && kv.Key != "" {
			at := rapid.IntRange(0, len(kv.Key)-1).Draw(t, "at")
			kv.Key = kv.Key[:at] + string([]byte{rapid.Byte().Draw(t, "byte")}) + kv.Key[at:]
		}
		return kv
	}), 0, 24)
}

func TestDecodeLetsNoUncheckedByteThrough(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		if err := checkDecoded(Decode("/p", keyValues().Draw(t, "keys"))); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDecodeDoesNotDependOnTheOrderOfTheKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kvs := keyValues().Draw(t, "keys")
		shuffled := rapid.Permutation(kvs).Draw(t, "shuffled")
		if diff := cmp.Diff(describe(Decode("/p", kvs)), describe(Decode("/p", shuffled))); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestDecodeOfADomainDoesNotDependOnOtherDomains(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kvs := keyValues().Draw(t, "keys")
		alone := slices.DeleteFunc(slices.Clone(kvs), func(kv KeyValue) bool { return !strings.HasPrefix(kv.Key, "/p/b/") })
		want, _ := Decode("/p", alone)
		have, _ := Decode("/p", kvs)
		have = slices.DeleteFunc(have, func(d Domain) bool { return d.Name != "b" })
		if b := slices.ContainsFunc(kvs, func(kv KeyValue) bool { return strings.HasPrefix(kv.Key, "/p/B/") }); b {
			t.Skip("another spelling")
		}
		if diff := cmp.Diff(describe(want, nil), describe(have, nil)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("/services/web", "/services/web/a.abc.com/server1/ip", "10.0.0.1", "/services/web/a.abc.com/server1/port", "10000")
	f.Add("/p", "/p/a.com/balance", "first", "/p/A.com/check", "/health")
	f.Add("/p/", "/p/a.com/h/weight", "257", "/p/a.com/h/port", "80\n")
	f.Add("", "/a.com/h/ip", "::1%eth0", "//", "x")
	f.Add("/p", "/p", "", "/p/", "")
	f.Add("/p", "/p/\xff/h/ip", "\xff", "/p/a.com/h/ip/x", "1")
	f.Fuzz(func(t *testing.T, prefix, key1, value1, key2, value2 string) {
		kvs := []KeyValue{{key1, value1}, {key2, value2}}
		domains, problems := Decode(prefix, kvs)
		if err := checkDecoded(domains, problems); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(kvs)
		if diff := cmp.Diff(describe(domains, problems), describe(Decode(prefix, kvs))); diff != "" {
			t.Fatal(diff)
		}
	})
}
