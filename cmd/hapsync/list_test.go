package main

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/registry"
)

func busyRegistry() *bench {
	return &bench{snapshot: registry.Snapshot{
		Revision: 812, Keys: 11,
		Domains: []*registry.Domain{
			{
				Name: "a.abc.com", Options: registry.DomainOptions{Balance: "leastconn", Check: "/health"},
				Hosts: []registry.Host{
					{Name: "server1", Addr: netip.MustParseAddrPort("10.0.0.1:10000"), Weight: 1, State: registry.Ready},
					{Name: "server2", Addr: netip.MustParseAddrPort("[2001:db8::1]:80"), Weight: 5, MaxConn: 9, Backup: true, State: registry.Drain},
				},
				Pending: []registry.Pending{{Host: "server3", Missing: "port"}},
			},
			{Name: "b.abc.com", HeldHosts: []string{"bad"}},
		},
		Problems: []registry.Problem{{Key: "/services/web/b.abc.com/bad/port", Reason: `"99999" is not a port`,
			Domain: "b.abc.com", Host: "bad"}},
	}}
}

func TestListText(t *testing.T) {
	got := busyRegistry().run(t, "list")
	want := `DOMAIN     HOST     ADDRESS           STATE    OPTIONS
a.abc.com  -        -                 -        balance leastconn, check /health
a.abc.com  server1  10.0.0.1:10000    ready    -
a.abc.com  server2  [2001:db8::1]:80  drain    weight 5, maxconn 9, backup
a.abc.com  server3  -                 pending  no port yet
b.abc.com  bad      -                 bad      its last good values, if any, stay in HAProxy
problem  /services/web/b.abc.com/bad/port: "99999" is not a port
revision 812, 2 domains, 2 hosts, 1 pending, 1 problem
`
	if got.code != exitOK || got.stdout != want {
		t.Errorf("code %d, %s\n%s\nwant\n%s", got.code, got.stderr, got.stdout, want)
	}
}

func TestListOfAnEmptyRegistrySaysWhatMayBeWrong(t *testing.T) {
	got := (&bench{snapshot: registry.Snapshot{Revision: 3}}).run(t, "list", "--prefix", "/other")
	wantContains(t, "list", got.stdout, "no key below /other", "--prefix", "revision 3, 0 domains")
}

func TestListJSON(t *testing.T) {
	got := busyRegistry().run(t, "list", "-o", "json")
	var list render.ListJSON
	if err := json.Unmarshal([]byte(got.stdout), &list); err != nil {
		t.Fatal(err)
	}
	a, b := list.Domains[0], list.Domains[1]
	if list.Version != 1 || list.Revision != 812 || list.Prefix != "/services/web" || a.Check != "/health" ||
		a.Hosts[1].Address != "[2001:db8::1]:80" || a.Pending[0].Missing != "port" || b.HeldHosts[0] != "bad" ||
		list.Problems[0].Host != "bad" {
		t.Errorf("%s", got.stdout)
	}
	empty := new(bench).run(t, "list", "-o", "json").stdout
	wantContains(t, "an empty list", empty, `"domains": []`, `"problems": []`)
}
