package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

var update = flag.Bool("update", false, "write the golden files")

// explainedHost is a HAProxy that is in line with a registry of one host.
func explainedHost() *bench {
	b := oneHost()
	b.snapshot.Prefix = "/services/web"
	server := haproxy.Server{Name: "server1", Addr: netip.MustParseAddrPort("10.0.0.1:10000"), Cookie: "server1",
		Check: true, Weight: 1, State: haproxy.Ready}
	config := haproxy.Config{
		Backends: []haproxy.Backend{{Name: "a.abc.com_cluster", Options: haproxy.BackendOptions{Balance: "roundrobin", Cookie: haproxy.StickyCookie},
			Servers: []haproxy.Server{server}}},
		Rules: []haproxy.Rule{{Frontend: "webin", Domain: "a.abc.com"}},
	}
	b.state.File, b.state.Live, b.state.Worker = config, config, "1"
	b.servers = []haproxy.ServerStatus{{Domain: "a.abc.com", Name: "server1", Addr: "10.0.0.1:10000", Cookie: "server1",
		Status: "UP", Weight: 1, Check: "L4OK", Since: 90 * time.Second, Sessions: 2}}
	b.keys = []registry.Key{
		{Key: "/services/web/a.abc.com/server1/ip", Value: "10.0.0.1", Host: "server1", Revision: 811, Lease: "694d7d", Left: 12 * time.Second},
		{Key: "/services/web/a.abc.com/server1/port", Value: "10000", Host: "server1", Revision: 812, Lease: "694d7d", Left: 12 * time.Second},
	}
	return b
}

// live changes what the process has of the only server.
func (b *bench) live(change func(*haproxy.Server)) {
	config := b.state.File
	backend := config.Backends[0]
	backend.Servers = []haproxy.Server{backend.Servers[0]}
	change(&backend.Servers[0])
	config.Backends = []haproxy.Backend{backend}
	b.state.Live = config
}

// gone takes the server out of HAProxy.
func (b *bench) gone() {
	b.state.File, b.state.Live, b.servers = haproxy.Config{}, haproxy.Config{}, nil
}

func TestExplain(t *testing.T) {
	domain := func(b *bench) *registry.Domain { return b.snapshot.Domains[0] }
	for _, tt := range []struct {
		name   string
		change func(*bench)
		code   int
	}{
		{"healthy", func(*bench) {}, exitOK},
		{"pending", func(b *bench) {
			b.gone()
			b.keys = b.keys[:1]
			domain(b).Hosts, domain(b).Pending = nil, []registry.Pending{{Host: "server1", Missing: "port"}}
		}, exitNotYet},
		{"bad", func(b *bench) {
			b.gone()
			b.keys[1].Value = "99999"
			domain(b).Hosts, domain(b).HeldHosts = nil, []string{"server1"}
			b.snapshot.Problems = []registry.Problem{{Key: b.keys[1].Key, Reason: `port "99999" is not a number of 1 to 65535`, Domain: "a.abc.com", Host: "server1"}}
		}, exitNotYet},
		{"bad-was-good", func(b *bench) {
			b.keys[1].Value = "99999"
			domain(b).Hosts, domain(b).HeldHosts = nil, []string{"server1"}
			b.snapshot.Problems = []registry.Problem{{Key: b.keys[1].Key, Reason: `port "99999" is not a number of 1 to 65535`, Domain: "a.abc.com", Host: "server1"}}
		}, exitOK},
		{"drained", func(b *bench) {
			b.keys = append(b.keys, registry.Key{Key: "/services/web/a.abc.com/server1/state", Value: "drain", Host: "server1", Revision: 813})
			domain(b).Hosts[0].State = registry.Drain
			b.live(func(s *haproxy.Server) { s.Weight = 0 })
			b.state.File = b.state.Live
			b.servers[0].Weight, b.servers[0].Status = 0, "DRAIN"
		}, exitNotYet},
		{"overridden", func(b *bench) {
			b.live(func(s *haproxy.Server) { s.State = haproxy.Maint })
			b.servers[0].Status = "MAINT"
			b.kept = `{"Version":1,"Overrides":[{"Backend":"a.abc.com_cluster","Server":"server1","Weight":1,"State":"maint","Want":{"Name":"server1","Weight":1,"State":"ready","Addr":"10.0.0.1:10000","Cookie":"server1","Check":true}}]}`
		}, exitNotYet},
		{"check-failing", func(b *bench) {
			b.servers[0].Status, b.servers[0].Check, b.servers[0].Detail = "DOWN", "L4CON", "Connection refused"
			b.servers[0].Sessions = 0
		}, exitNotYet},
		{"not-registered", func(b *bench) { b.gone(); b.keys, b.snapshot.Domains = nil, nil }, exitNotYet},
		{"not-applied", func(b *bench) { b.gone() }, exitNotYet},
		{"registry-away", func(b *bench) {
			b.snapshotErr = fmt.Errorf("%w: etcd at http://127.0.0.1:2379: connection refused", registry.ErrUnavailable)
		}, exitRegistry},
		{"haproxy-away", func(b *bench) {
			b.state.Down = fmt.Errorf("%w on /run/haproxy.sock", haproxy.ErrDown)
			b.state.Live = haproxy.Config{}
		}, exitHAProxy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := explainedHost()
			tt.change(b)
			got := b.run(t, "explain", "A.abc.com", "server1")
			if got.code != tt.code {
				t.Errorf("code %d, want %d\n%s", got.code, tt.code, got.stderr)
			}
			golden(t, "explain-"+tt.name+".txt", got.stdout)
			var page struct{ Hosts []struct{ Verdict string } }
			if err := json.Unmarshal([]byte(b.run(t, "explain", "-o", "json", "a.abc.com").stdout), &page); err != nil {
				t.Fatal(err)
			}
			if len(page.Hosts) == 1 && !strings.HasPrefix(got.stdout, page.Hosts[0].Verdict+": a.abc.com/server1: ") {
				t.Errorf("JSON says %s", page.Hosts[0].Verdict)
			}
		})
	}
}

func TestExplainSaysOfADomainWithoutHostsOnlyWhatItCouldRead(t *testing.T) {
	registryAway := func(b *bench) {
		b.snapshotErr = fmt.Errorf("%w: etcd at http://127.0.0.1:2379: connection refused", registry.ErrUnavailable)
	}
	haproxyAway := func(b *bench) {
		b.state.Down, b.state.Live = fmt.Errorf("%w on /run/haproxy.sock", haproxy.ErrDown), haproxy.Config{}
	}
	for _, tt := range []struct {
		want   string
		code   int
		change []func(*bench)
	}{
		{"not in rotation: b.abc.com has no host, neither in the registry nor in HAProxy\n", exitNotYet, nil},
		{"unknown: the registry cannot be read, and HAProxy has no host of b.abc.com\n", exitRegistry, []func(*bench){registryAway}},
		{"unknown: HAProxy cannot be read, and the registry has no host of b.abc.com\n", exitHAProxy, []func(*bench){haproxyAway}},
		{"unknown: neither the registry nor HAProxy can be read, so the hosts of b.abc.com are not known\n", exitRegistry, []func(*bench){registryAway, haproxyAway}},
	} {
		b := explainedHost()
		b.gone()
		b.keys = nil
		for _, change := range tt.change {
			change(b)
		}
		if got := b.run(t, "explain", "b.abc.com"); got.code != tt.code || !strings.HasPrefix(got.stdout, tt.want) {
			t.Errorf("code %d, want %d and %q:\n%s%s", got.code, tt.code, tt.want, got.stdout, got.stderr)
		}
	}
}

func TestExplainRefusesWhatIsNoName(t *testing.T) {
	for _, args := range [][]string{{"explain"}, {"explain", "a_b"}, {"explain", "a.abc.com", "a/b"}, {"explain", "a.abc.com", "b", "c"}} {
		if got := explainedHost().run(t, args...); got.code != exitUsage {
			t.Errorf("%q: code %d", args, got.code)
		}
	}
}
