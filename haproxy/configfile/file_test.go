package configfile

import (
	"cmp"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hapsync/hapsync/haproxy"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// drawConfig draws a small managed part with few names, so that two draws are similar.
func drawConfig(frontends []string) *rapid.Generator[haproxy.Config] {
	return rapid.Custom(func(t *rapid.T) haproxy.Config {
		var c haproxy.Config
		for _, d := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a.abc.com", "b.abc.com", "a-b.com", "ab.com", "x", "z.org"}), rapid.ID).Draw(t, "domains") {
			b := haproxy.Backend{Name: haproxy.BackendName(d), Options: haproxy.BackendOptions{
				Balance: rapid.SampledFrom([]string{"roundrobin", "leastconn", "source"}).Draw(t, "balance"),
				Cookie:  rapid.SampledFrom([]string{haproxy.StickyCookie, "", "SID insert indirect nocache httponly secure attr SameSite=None maxidle 1800 maxlife 28800"}).Draw(t, "cookie"),
				Check:   rapid.SampledFrom([]string{"", "", "/health", "/a/b?c=d&e=%20"}).Draw(t, "check"),
			}}
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"server1", "server2", "server10", "S_3.x"}), 1, 4, rapid.ID).Draw(t, "servers") {
				s := drawServer(t, name)
				if b.Options.Cookie == "" {
					s.Cookie = ""
				}
				b.Servers = append(b.Servers, s)
			}
			haproxy.SortServers(b.Servers)
			c.Backends = append(c.Backends, b)
			for _, f := range frontends {
				r := haproxy.Rule{Frontend: f, Domain: d, AnyPort: rapid.Bool().Draw(t, "any port")}
				if !r.AnyPort {
					c.Backends[len(c.Backends)-1].Exact = append(c.Backends[len(c.Backends)-1].Exact, f)
				}
				c.Rules = append(c.Rules, r)
			}
		}
		slices.SortFunc(c.Backends, func(a, b haproxy.Backend) int { return cmp.Compare(a.Name, b.Name) })
		haproxy.SortRules(c.Rules)
		return c
	})
}

func drawServer(t *rapid.T, name string) haproxy.Server {
	return haproxy.Server{
		Name:    name,
		Addr:    netip.MustParseAddrPort(rapid.SampledFrom([]string{"10.0.0.1:80", "10.0.0.2:8080", "[::1]:80", "[2001:db8::5]:65535"}).Draw(t, "addr")),
		Cookie:  name,
		Check:   rapid.Bool().Draw(t, "check"),
		Weight:  rapid.SampledFrom([]int{1, 1, 0, 256}).Draw(t, "weight"),
		MaxConn: rapid.SampledFrom([]int{0, 0, 7}).Draw(t, "maxconn"),
		Backup:  rapid.SampledFrom([]bool{false, false, true}).Draw(t, "backup"),
		State:   rapid.SampledFrom([]haproxy.ServerState{haproxy.Ready, haproxy.Ready, haproxy.Maint}).Draw(t, "state"),
		Params:  rapid.SampledFrom([]string{"", "", "inter 5s", "ssl verify none"}).Draw(t, "params"),
	}
}

func haproxyOfPath(t *testing.T) string {
	t.Helper()
	bin, err := exec.LookPath("haproxy")
	if err != nil {
		t.Fatalf("%v; make deps installs it", err)
	}
	return bin
}

func diff(want, got any) string {
	return gocmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty())
}

func TestATransactionAndARewriteGiveTheSameBytes(t *testing.T) {
	bin, dir := haproxyOfPath(t), filepath.Join(t.TempDir(), "transaction")
	rapid.Check(t, func(t *rapid.T) {
		frontends := rapid.SampledFrom([][]string{{"webin"}, {"first", "second"}}).Draw(t, "frontends")
		text, have := newFile(frontends), haproxy.Config{}
		for i := range 3 {
			want := drawConfig(frontends).Draw(t, "want")
			d := parseDocument(text)
			m := readManaged(d, frontends, "f", nil, noDefaults)
			m.mapFile = rapid.SampledFrom([]string{"", "/f.domains.map"}).Draw(t, "map")
			if delta := diff(have, m.Config); delta != "" {
				t.Fatalf("step %d reads another config (-want +got):\n%s\n%s", i, delta, text)
			}
			spliced := splice(d, m, want)
			if line, ok := reproduces(spliced); !ok {
				t.Fatalf("client-native does not reproduce line %d of\n%s", line, spliced)
			}
			edited, err := transact(t.Context(), dir, bin, text, m, want)
			if err != nil {
				t.Fatal(err)
			}
			if edited != spliced {
				t.Fatalf("they differ (-transaction +rewrite):\n%s", gocmp.Diff(edited, spliced))
			}
			text, have = spliced, want
		}
	})
}

func TestTheManagedFileHasTheShapeOfTheDocumentation(t *testing.T) {
	t.Parallel()
	d := parseDocument(newFile([]string{"webin"}))
	server := func(name, addr string) haproxy.Server {
		return haproxy.Server{Name: name, Addr: netip.MustParseAddrPort(addr), Cookie: name, Check: true, Weight: 1, State: haproxy.Ready}
	}
	want := haproxy.Config{
		Backends: []haproxy.Backend{
			{Name: "a.abc.com_cluster", Options: haproxy.BackendOptions{Balance: "roundrobin", Cookie: haproxy.StickyCookie}, Servers: []haproxy.Server{server("server1", "10.0.0.1:10000"), server("server2", "10.0.0.1:10001")}},
			{Name: "b.abc.com_cluster", Options: haproxy.BackendOptions{Balance: "roundrobin", Cookie: haproxy.StickyCookie}, Servers: []haproxy.Server{server("server1", "10.0.0.1:12345")}},
		},
		Rules: []haproxy.Rule{{Frontend: "webin", Domain: "a.abc.com"}, {Frontend: "webin", Domain: "b.abc.com"}},
	}
	got := splice(d, readManaged(d, []string{"webin"}, "f", nil, noDefaults), want)
	const text = `frontend webin
    bind :80
    acl is_a.abc.com hdr(host) -i a.abc.com
    acl is_b.abc.com hdr(host) -i b.abc.com
    use_backend a.abc.com_cluster if is_a.abc.com
    use_backend b.abc.com_cluster if is_b.abc.com

backend a.abc.com_cluster
    balance roundrobin
    cookie SERVERID insert indirect nocache
    server server1 10.0.0.1:10000 cookie server1 check
    server server2 10.0.0.1:10001 cookie server2 check

backend b.abc.com_cluster
    balance roundrobin
    cookie SERVERID insert indirect nocache
    server server1 10.0.0.1:12345 cookie server1 check
`
	if delta := gocmp.Diff(text, got); delta != "" {
		t.Errorf("(-want +got):\n%s", delta)
	}
}
