package sync

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

func host(name, addr string) registry.Host {
	return registry.Host{Name: name, Addr: netip.MustParseAddrPort(addr), Weight: 1, State: registry.Ready}
}

// twoDomains is a registry of two domains.
func twoDomains() registry.Snapshot {
	return registry.Snapshot{Prefix: "/services/web", Revision: 812, Keys: 6, Domains: []*registry.Domain{
		{Name: "a.abc.com", Hosts: []registry.Host{host("server1", "10.0.0.1:10000"), host("server2", "10.0.0.1:10001")}},
		{Name: "b.abc.com", Hosts: []registry.Host{host("server1", "10.0.0.2:12345")}},
	}}
}

// inLine is a HAProxy that has what the snapshot says.
func inLine(snapshot registry.Snapshot, version haproxy.Version) *fake {
	want, _ := layout.Desired(snapshot, haproxy.State{})
	return &fake{file: clone(want), live: clone(want), caps: haproxy.CapabilitiesOf(version)}
}

var v32 = haproxy.Version{Major: 3, Minor: 2}

func TestManyReasonsForAReloadAreCounted(t *testing.T) {
	t.Parallel()
	snapshot := registry.Snapshot{Keys: 1}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		snapshot.Domains = append(snapshot.Domains, &registry.Domain{Name: name, Hosts: []registry.Host{host("s", "10.0.0.1:80")}})
	}
	report, err := newSyncer(t, source{snapshot: snapshot}, inLine(registry.Snapshot{}, v32), Policy{}).Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"new domain: a, b, c and 2 more (the rules of a running process cannot change)"}
	if delta := cmp.Diff(want, report.Plan.Reload); delta != "" {
		t.Errorf("(-want +got):\n%s", delta)
	}
}

func TestMassRemovalIsHeld(t *testing.T) {
	t.Parallel()
	many := func(n int) registry.Snapshot {
		d := &registry.Domain{Name: "a"}
		for i := range n {
			d.Hosts = append(d.Hosts, host(string(rune('a'+i)), "10.0.0.1:80"))
		}
		return registry.Snapshot{Keys: 2 * n, Domains: []*registry.Domain{d}}
	}
	cases := map[string]struct {
		have, want int
		keys       int
		policy     Policy
		held       bool
	}{
		"an empty registry":                       {have: 1, want: 0, keys: 0, held: true},
		"an empty registry, confirmed":            {have: 1, want: 0, keys: 0, policy: Policy{AllowMassRemoval: true}},
		"an empty registry and an empty HAProxy":  {have: 0, want: 0, keys: 0},
		"the last server, other keys being there": {have: 1, want: 0, keys: 1},
		"all of two servers":                      {have: 2, want: 0, keys: 1, held: true},
		"one of two":                              {have: 2, want: 1, keys: 2},
		"four of a handful":                       {have: 5, want: 1, keys: 2},
		"four of six":                             {have: 6, want: 2, keys: 2, held: true},
		"half of six":                             {have: 6, want: 3, keys: 2},
		"four of six at 70 percent":               {have: 6, want: 2, keys: 2, policy: Policy{MaxRemoval: 70}},
		"two of six at 20 percent":                {have: 6, want: 4, keys: 2, policy: Policy{MaxRemoval: 20}, held: true},
		"a single one at 1 percent":               {have: 6, want: 5, keys: 2, policy: Policy{MaxRemoval: 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := inLine(many(c.have), v32)
			before := *m
			snapshot := many(c.want)
			snapshot.Keys = c.keys
			report, err := newSyncer(t, source{snapshot: snapshot}, m, c.policy).Sync(t.Context())
			var held *HeldError
			if errors.As(err, &held) != c.held || err != nil && !c.held {
				t.Fatalf("held is %v, the error is %v", c.held, err)
			}
			if c.held && (m.commands != before.commands || m.version != before.version || m.reloads != before.reloads) {
				t.Error("something was touched")
			}
			if c.held && report.Plan.Empty() {
				t.Error("the plan that is held is not shown")
			}
		})
	}
}

func TestWhatStandsInTheWayOfAPass(t *testing.T) {
	t.Parallel()
	moved := twoDomains()
	moved.Domains[0].Hosts[0].Addr = netip.MustParseAddrPort("10.0.0.3:1")
	added := twoDomains()
	added.Domains = append(added.Domains, &registry.Domain{Name: "new.abc.com", Hosts: []registry.Host{host("s", "10.0.0.9:80")}})
	sync := func(t *testing.T, m *fake, s source) (Report, error) {
		return newSyncer(t, s, m, Policy{}).Sync(t.Context())
	}
	t.Run("a file that was edited meanwhile is read again", func(t *testing.T) {
		t.Parallel()
		m := inLine(twoDomains(), v32)
		m.conflicts = 2
		if _, err := sync(t, m, source{snapshot: moved}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a file that never keeps still is given up", func(t *testing.T) {
		t.Parallel()
		m := inLine(twoDomains(), v32)
		m.conflicts = 10
		if _, err := sync(t, m, source{snapshot: moved}); !errors.Is(err, haproxy.ErrConflict) {
			t.Fatal(err)
		}
	})
	t.Run("a transaction that fails twice becomes a rewrite", func(t *testing.T) {
		t.Parallel()
		m := inLine(twoDomains(), v32)
		m.failCommit = 2
		report, err := sync(t, m, source{snapshot: moved})
		if err != nil || m.rewrites != 1 || report.Plan.Rewrite == "" {
			t.Fatalf("%d rewrites for %q, %v", m.rewrites, report.Plan.Rewrite, err)
		}
	})
	t.Run("a registry that cannot be read touches nothing", func(t *testing.T) {
		t.Parallel()
		m := inLine(twoDomains(), v32)
		if _, err := sync(t, m, source{snapshot: added, err: registry.ErrUnavailable}); !errors.Is(err, registry.ErrUnavailable) {
			t.Fatal(err)
		}
		if m.version+m.commands+m.reloads > 0 {
			t.Error("something was touched")
		}
	})
	t.Run("a reload that fails is an error", func(t *testing.T) {
		t.Parallel()
		m := inLine(twoDomains(), v32)
		m.failReload = 1
		if report, err := sync(t, m, source{snapshot: added}); !errors.Is(err, haproxy.ErrRefused) || report.Applied {
			t.Fatal(err)
		}
	})
	t.Run("a configuration that HAProxy refuses as it stands is nobody's fault", func(t *testing.T) {
		t.Parallel()
		m := inLine(twoDomains(), v32)
		m.refuses = func(haproxy.Config) []string { return []string{""} }
		var invalid *haproxy.InvalidConfigError
		if _, err := sync(t, m, source{snapshot: added}); !errors.As(err, &invalid) {
			t.Fatal(err)
		}
	})
}
