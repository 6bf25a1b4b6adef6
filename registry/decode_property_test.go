package registry_test

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

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/registrytest"
)

// sameMemory reports whether part shares memory with whole.
func sameMemory(part, whole string) bool {
	if part == "" || whole == "" {
		return false
	}
	at := uintptr(unsafe.Pointer(unsafe.StringData(part)))
	from := uintptr(unsafe.Pointer(unsafe.StringData(whole)))
	return from <= at && at < from+uintptr(len(whole))
}

// The grammar again, written independently of the code.
var (
	goodDomain  = regexp.MustCompile(`\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\z`)
	goodHost    = regexp.MustCompile(`\A[A-Za-z0-9_.-]{1,64}\z`)
	goodBalance = regexp.MustCompile(`\A(roundrobin|static-rr|leastconn|first|random|source|uri)?\z`)
	goodCheck   = regexp.MustCompile(`\A(off|tcp` + checkTimes + `|/([A-Za-z0-9/?._~!&()*+,=:@-]|%[0-9A-Fa-f]{2}){0,255}( status=[0-9,-]+)?( host=[A-Za-z0-9.:-]+)?` + checkTimes + `)?\z`)
	goodTLS     = regexp.MustCompile(`\A(off|verify|noverify)?\z`)
	goodCookie  = regexp.MustCompile(`\A(off|[A-Za-z0-9_.-]{1,64}( httponly)?( secure)?( samesite=(lax|strict|none))?( maxidle=[1-9][0-9]*[smhd])?( maxlife=[1-9][0-9]*[smhd])?)?\z`)
	goodAliases = regexp.MustCompile(`\A((\*\.)?[a-z0-9][a-z0-9.-]*( (\*\.)?[a-z0-9][a-z0-9.-]*)*)?\z`)
	goodReason  = regexp.MustCompile(`\A[ -~]{1,1000}\z`)
	goodKey     = regexp.MustCompile(`\A[ -~]+\z`)
)

const checkTimes = `( inter=[1-9][0-9]*[smhd])?( rise=[1-9][0-9]*)?( fall=[1-9][0-9]*)?`

// checkDecoded returns what is wrong with a result of Decode, for any input.
func checkDecoded(domains []*registry.Domain, problems []registry.Problem, ignored registry.Ignored) error {
	if !slices.IsSortedFunc(domains, func(a, b *registry.Domain) int { return strings.Compare(a.Name, b.Name) }) {
		return fmt.Errorf("domains are not sorted: %v", domains)
	}
	held := map[string]bool{}
	for i, d := range domains {
		if i > 0 && domains[i-1].Name == d.Name {
			return fmt.Errorf("domain %s is there twice", d.Name)
		}
		if err := checkDecodedDomain(*d); err != nil {
			return fmt.Errorf("domain %q: %w", d.Name, err)
		}
		if d.Held {
			held[d.Name+"/"] = true
		}
		for _, name := range d.HeldHosts {
			held[d.Name+"/"+name] = true
		}
	}
	for _, name := range ignored.Names {
		if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) || len(ignored.Names) > ignored.Keys {
			return fmt.Errorf("ignored are %+v", ignored)
		}
	}
	return checkDecodedProblems(problems, held)
}

func checkDecodedDomain(d registry.Domain) error {
	if !goodDomain.MatchString(d.Name) || len(d.Name) > 253 || !goodBalance.MatchString(d.Options.Balance) ||
		!goodCookie.MatchString(d.Options.Cookie) || !goodCheck.MatchString(d.Options.Check) || len(registry.CheckOf(d.Options.Check).Path) > 256 || !goodAliases.MatchString(d.Options.Aliases) || !goodTLS.MatchString(d.Options.TLS) {
		return fmt.Errorf("a name or an option has bytes that it may not have: %+v", d)
	}
	names := d.Options.Names()
	for i, name := range names {
		below := strings.TrimPrefix(name, "*.")
		if !goodDomain.MatchString(below) || len(below) > 253 || len(names) > 100 || i > 0 && names[i-1] >= name {
			return fmt.Errorf("aliases %q", d.Options.Aliases)
		}
	}
	var hosts, pending []string
	for _, h := range d.Hosts {
		hosts = append(hosts, h.Name)
		if ip := h.Addr.Addr(); !h.Addr.IsValid() || h.Addr.Port() == 0 || ip.Zone() != "" || ip.Is4In6() || ip.IsMulticast() ||
			ip.IsUnspecified() || ip == netip.MustParseAddr("255.255.255.255") {
			return fmt.Errorf("address %s", h.Addr)
		}
		if h.Weight < 0 || h.Weight > 256 || h.MaxConn < 0 || h.MaxConn > 1e6 || (h.State != registry.Ready && h.State != registry.Drain && h.State != registry.Maint) {
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
	for _, p := range d.Unclear {
		if !goodHost.MatchString(p.Host) || slices.Contains(all, p.Host) || !goodReason.MatchString(p.Reason) || p.Domain != d.Name {
			return fmt.Errorf("unclear is %+v", p)
		}
	}
	if len(all) == 0 && d.Options == (registry.DomainOptions{}) && !d.Held && !d.Ignored() {
		return fmt.Errorf("nothing is known of it")
	}
	return nil
}

// checkDecodedProblems checks that each held thing has a problem, and that problems hold nothing else.
func checkDecodedProblems(problems []registry.Problem, held map[string]bool) error {
	if !slices.IsSortedFunc(problems, func(a, b registry.Problem) int { return strings.Compare(a.Key, b.Key) }) {
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

func TestDecodeLetsNoUncheckedByteThrough(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		if err := checkDecoded(registry.Decode("/p", registrytest.KeyValues().Draw(t, "keys"), registry.Addresses{})); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDecodeDoesNotDependOnTheOrderOfTheKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kvs := registrytest.KeyValues().Draw(t, "keys")
		shuffled := rapid.Permutation(kvs).Draw(t, "shuffled")
		if diff := cmp.Diff(registrytest.Describe(registry.Decode("/p", kvs, registry.Addresses{})), registrytest.Describe(registry.Decode("/p", shuffled, registry.Addresses{}))); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestDecodeOfADomainDoesNotDependOnOtherDomains(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kvs := registrytest.KeyValues().Draw(t, "keys")
		alone := slices.DeleteFunc(slices.Clone(kvs), func(kv registry.KeyValue) bool { return !strings.HasPrefix(kv.Key, "/p/b/") })
		want, _, _ := registry.Decode("/p", alone, registry.Addresses{})
		have, _, _ := registry.Decode("/p", kvs, registry.Addresses{})
		have = slices.DeleteFunc(have, func(d *registry.Domain) bool { return d.Name != "b" })
		if b := slices.ContainsFunc(kvs, func(kv registry.KeyValue) bool { return strings.HasPrefix(kv.Key, "/p/B/") }); b {
			t.Skip("another spelling")
		}
		if diff := cmp.Diff(registrytest.Describe(want, nil), registrytest.Describe(have, nil)); diff != "" {
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
	f.Add("/p", "/p/a.com/aliases", "*.a.com www.a.com", "/p/b.com/aliases", "*.10.0.0.1 WWW.a.com")
	f.Add("/p", "/p/\xff/h/ip", "\xff", "/p/a.com/h/ip/x", "1")
	f.Fuzz(func(t *testing.T, prefix, key1, value1, key2, value2 string) {
		kvs := []registry.KeyValue{{Key: key1, Value: value1}, {Key: key2, Value: value2}}
		domains, problems, ignored := registry.Decode(prefix, kvs, registry.Addresses{})
		if err := checkDecoded(domains, problems, ignored); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(kvs)
		if diff := cmp.Diff(registrytest.Describe(domains, problems, ignored), registrytest.Describe(registry.Decode(prefix, kvs, registry.Addresses{}))); diff != "" {
			t.Fatal(diff)
		}
	})
}
