package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

func registered(name, addr string) registry.Host {
	return registry.Host{Name: name, Addr: netip.MustParseAddrPort(addr), Weight: 1, State: registry.Ready}
}

// inLine is a HAProxy of some version that is in line with a registry of two domains.
func inLine(version haproxy.Version) *bench {
	b := &bench{snapshot: registry.Snapshot{Prefix: "/services/web", Revision: 812, Keys: 6, Domains: []*registry.Domain{
		{Name: "a.abc.com", Hosts: []registry.Host{registered("server1", "10.0.0.1:10000"), registered("server2", "10.0.0.1:10001")}},
		{Name: "b.abc.com", Hosts: []registry.Host{registered("server1", "10.0.0.2:12345")}},
	}}}
	layout := sync.Layout{Frontends: []string{"webin"}}
	b.state.File, _ = layout.Desired(b.snapshot, haproxy.State{})
	b.state.Live, _ = layout.Desired(b.snapshot, haproxy.State{})
	b.state.Capabilities = haproxy.CapabilitiesOf(version)
	return b
}

func dropB(c *haproxy.Config) { c.Backends, c.Rules = c.Backends[:1], c.Rules[:1] }

var v26, v32 = haproxy.Version{Major: 2, Minor: 6}, haproxy.Version{Major: 3, Minor: 2}

type planCase struct {
	version haproxy.Version
	change  func(*registry.Snapshot, *haproxy.State)
}

// planCases change a registry of two domains and a HAProxy that was in line with it.
func planCases() map[string]planCase {
	return map[string]planCase{
		"in-line": {v32, func(*registry.Snapshot, *haproxy.State) {}},
		"new-server": {v32, func(s *registry.Snapshot, _ *haproxy.State) {
			s.Domains[1].Hosts = append(s.Domains[1].Hosts, registered("server2", "[::1]:80"))
		}},
		"new-server-2.6": {v26, func(s *registry.Snapshot, _ *haproxy.State) {
			s.Domains[1].Hosts = append(s.Domains[1].Hosts, registered("server2", "10.0.0.9:80"))
		}},
		"only-server-replaced-2.6": {v26, func(s *registry.Snapshot, _ *haproxy.State) {
			s.Domains[1].Hosts = []registry.Host{registered("server2", "10.0.0.9:80")}
		}},
		"new-server-static": {v32, func(s *registry.Snapshot, st *haproxy.State) {
			s.Domains[1].Options.Balance = "source"
			st.File.Backends[1].Options.Balance, st.Live.Backends[1].Options.Balance = "source", "source"
			s.Domains[1].Hosts[0].Weight = 7
			s.Domains[1].Hosts = append(s.Domains[1].Hosts, registered("server2", "10.0.0.9:80"))
		}},
		"everything-of-a-server": {v26, func(s *registry.Snapshot, _ *haproxy.State) {
			s.Domains[0].Hosts[0] = registry.Host{Name: "server1", Addr: netip.MustParseAddrPort("10.0.0.3:1"), Weight: 5, MaxConn: 10, State: registry.Maint}
			s.Domains[0].Hosts[1].State = registry.Drain
			s.Domains[1].Hosts[0].Backup = true
		}},
		"new-domain": {v32, func(s *registry.Snapshot, _ *haproxy.State) {
			s.Domains = append(s.Domains, &registry.Domain{Name: "new.abc.com", Hosts: []registry.Host{registered("s", "10.0.0.9:80")}})
		}},
		"removed-domain": {v32, func(s *registry.Snapshot, _ *haproxy.State) { s.Domains = s.Domains[:1] }},
		"options": {v32, func(s *registry.Snapshot, _ *haproxy.State) {
			s.Domains[0].Options = registry.DomainOptions{Balance: "leastconn", Check: "/health"}
			s.Domains[1].Options.Check = "off"
		}},
		"from-nothing-haproxy-down": {v32, func(_ *registry.Snapshot, st *haproxy.State) {
			*st = haproxy.State{Down: haproxy.ErrDown, Missing: true}
		}},
		"killed-between-file-and-reload": {v32, func(_ *registry.Snapshot, st *haproxy.State) { dropB(&st.Live) }},
		"killed-between-process-and-file": {v32, func(s *registry.Snapshot, st *haproxy.State) {
			s.Domains[0].Hosts[0].Addr = netip.MustParseAddrPort("10.0.0.7:7")
			st.Live.Backends[0].Servers[0].Addr = s.Domains[0].Hosts[0].Addr
		}},
		"typed-into-the-socket": {v32, func(_ *registry.Snapshot, st *haproxy.State) {
			st.Live.Backends[0].Servers[0].State = haproxy.Drain
			st.Live.Backends[0].Servers[1].Weight = 0
		}},
		"cannot-edit": {v32, func(s *registry.Snapshot, st *haproxy.State) {
			st.NoEdit = "client-native would not leave line 3 of hapsync.cfg as it is"
			s.Domains[0].Hosts[0].Weight = 2
		}},
		"problems": {v32, func(s *registry.Snapshot, st *haproxy.State) {
			st.Foreign = map[string]string{"b.abc.com": "backend b.abc.com_cluster (hapsync.cfg:12)"}
			dropB(&st.File)
			dropB(&st.Live)
			s.Problems = []registry.Problem{{Key: "/services/web/a.abc.com/server9/port", Reason: `port "abc" is not a number of 1 to 65535`, Domain: "a.abc.com", Host: "server9"}}
			s.Domains[0].Pending = []registry.Pending{{Host: "server3", Missing: "port"}}
		}},
	}
}

func TestAPlanReadsLikeThis(t *testing.T) {
	for name, c := range planCases() {
		t.Run(name, func(t *testing.T) {
			b := inLine(c.version)
			c.change(&b.snapshot, &b.state)
			for ending, format := range map[string]string{".txt": "text", ".json": "json"} {
				golden(t, "plan-"+name+ending, b.run(t, "plan", "--frontend", "webin", "-o", format).stdout)
			}
		})
	}
}

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, file); got != want {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func TestALargePlanIsCounted(t *testing.T) {
	b := inLine(v32)
	b.snapshot.Domains[0].Hosts[0].Weight = 5
	for n := range 1003 {
		b.snapshot.Domains = append(b.snapshot.Domains, &registry.Domain{Name: fmt.Sprintf("n%04d.abc.com", n),
			Hosts: []registry.Host{registered("s1", "10.0.0.9:80"), registered("s2", "10.0.0.9:81")}})
	}
	want := `rewrite        the managed file: 4013 changes are cheaper to write than to edit
runtime      ~ 1 server of a.abc.com
rewrite      ~ 1 server of a.abc.com
rewrite      + 1,003 domains with 2,006 servers: n0000.abc.com, n0001.abc.com, n0002.abc.com and 1,000 more
reload         new domain: n0000.abc.com, n0001.abc.com, n0002.abc.com and 1000 more (the rules of a running process cannot change)
to do: runtime=1 rewrite=4013 reload=1 (revision 812, 1005 domains, 2009 hosts)
`
	if got := b.run(t, "plan"); got.stdout != want {
		t.Errorf("got\n%s\nwant\n%s", got.stdout, want)
	}
	got := b.run(t, "plan", "--domain", "N0007.abc.com")
	wantContains(t, "of a domain", got.stdout, "rewrite      + server n0007.abc.com_cluster/s2 10.0.0.9:81 cookie s2\n", "to do: rewrite=4 reload=1 ")
	if strings.Contains(got.stdout, "n0008") || strings.Contains(got.stdout, "server a.abc.com") {
		t.Errorf("of a domain: %s", got.stdout)
	}
	if got := b.run(t, "plan", "-o", "json"); strings.Count(got.stdout, `"summary": `) != 4_014 {
		t.Errorf("JSON has %d steps", strings.Count(got.stdout, `"summary": `))
	}
}

func TestASummaryOfASmallPlan(t *testing.T) {
	b := inLine(v32)
	b.snapshot.Domains[0].Hosts = b.snapshot.Domains[0].Hosts[:1]
	b.snapshot.Domains[1].Options.Balance = "leastconn"
	want := `runtime      - 1 server of a.abc.com
transaction  - 1 server of a.abc.com
transaction  ~ 1 backend of b.abc.com
reload         backend b.abc.com_cluster: the options of a backend cannot change in a running process
to do: runtime=1 transaction=2 reload=1 (revision 812, 2 domains, 2 hosts)
`
	if got := b.run(t, "plan", "--summary"); got.stdout != want {
		t.Errorf("got\n%s\nwant\n%s", got.stdout, want)
	}
}

func TestAPlanThatIsHeldSaysSoFirst(t *testing.T) {
	b := oneHost()
	b.state.File, b.state.Live = threeServers(), threeServers()
	got := b.run(t, "plan", "--max-removal", "1")
	lines := strings.Split(got.stdout, "\n")
	if got.code != exitHeld || !strings.HasPrefix(lines[0], "held           ") || !strings.HasPrefix(lines[1], "runtime      - server a.abc.com_cluster/s") || strings.LastIndex(got.stdout, " - ") > strings.Index(got.stdout, " + ") {
		t.Errorf("code %d:\n%s", got.code, got.stdout)
	}
}

func TestADiffOfThePlan(t *testing.T) {
	b := inLine(v32)
	if got := b.run(t, "plan", "--diff"); got.code != exitOK || got.stdout != "" {
		t.Errorf("in line: code %d: %s", got.code, got.stdout)
	}
	b.snapshot.Domains[1].Hosts = []registry.Host{registered("server1", "10.0.0.9:9")}
	want := `--- /etc/haproxy/hapsync.cfg
+++ /etc/haproxy/hapsync.cfg
@@ -1,3 +1,3 @@
 a.abc.com_cluster server1 10.0.0.1:10000 cookie server1
 a.abc.com_cluster server2 10.0.0.1:10001 cookie server2
-b.abc.com_cluster server1 10.0.0.2:12345 cookie server1
+b.abc.com_cluster server1 10.0.0.9:9 cookie server1
`
	if got := b.run(t, "plan", "--diff", "--detailed-exitcode"); got.code != exitChanges || got.stdout != want {
		t.Errorf("code %d, got\n%s\nwant\n%s", got.code, got.stdout, want)
	}
	if got := b.run(t, "plan", "--diff", "-o", "json"); got.code != exitUsage {
		t.Errorf("as JSON: code %d", got.code)
	}
	b.state.File, b.state.Live, b.snapshot = threeServers(), threeServers(), registry.Snapshot{Revision: 7}
	if got := b.run(t, "plan", "--diff"); got.code != exitHeld || strings.Count(got.stdout, "\n-") != 3 {
		t.Errorf("held: code %d: %s", got.code, got.stdout)
	}
}

func TestManyProblemsWithTheSameReasonAreOneLine(t *testing.T) {
	for _, tt := range []struct {
		n    int
		want string
	}{
		{10, "problem        /services/web/d0000: a port is missing\nproblem        /services/web/d0001: a port is missing\n"},
		{1004, "problem        /services/web/d0000, /services/web/d0001, /services/web/d0002 and 1,001 more: a port is missing\nproblem        /services/web/z: bad\n"},
	} {
		b := inLine(v32)
		for n := range tt.n {
			b.snapshot.Problems = append(b.snapshot.Problems, registry.Problem{Key: fmt.Sprintf("/services/web/d%04d", n), Reason: "a port is missing"})
		}
		b.snapshot.Problems = append(b.snapshot.Problems, registry.Problem{Key: "/services/web/z", Reason: "bad"})
		wantContains(t, "stdout", b.run(t, "plan").stdout, tt.want)
	}
}

func TestAdoptGivesTheFileToTheAgentsUserAndBack(t *testing.T) {
	t.Parallel()
	file := takeover{file: "/etc/haproxy/haproxy.cfg", unit: "confd", account: true}
	commands := func(steps []render.AdoptStep) (all []string) {
		for _, s := range steps {
			all = append(all, s.Commands...)
		}
		return all
	}
	const places = " /etc/haproxy /etc/haproxy/haproxy.cfg"
	forth := commands(file.switchSteps(sync.Plan{}))
	given, applied := slices.Index(forth, "chown hapsync:"+places), slices.Index(forth, "hapsync sync")
	if given < 0 || given > applied || !slices.Contains(commands(file.backSteps()), "chown root:"+places) {
		t.Errorf("%q, and back %q", forth, commands(file.backSteps()))
	}
	file.account = false
	if forth := strings.Join(commands(file.switchSteps(sync.Plan{})), "\n"); strings.Contains(forth, "chown") {
		t.Errorf("there is no such user: %s", forth)
	}
}
