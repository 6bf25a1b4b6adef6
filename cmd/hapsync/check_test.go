package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
)

func TestCheckExitCodes(t *testing.T) {
	down := haproxy.Finding{Level: haproxy.LevelFail, What: "stats socket", Detail: "/run/x.sock:\nrefused", Remedy: "start HAProxy"}
	for _, tt := range []struct {
		name   string
		change func(*bench)
		code   int
		stdout string
	}{
		{"all well", func(*bench) {}, exitOK, "ok   registry: etcd answers on http://127.0.0.1:2379 at revision 812, with 2 keys below /services/web"},
		{"no keys", func(b *bench) { b.snapshot = registry.Snapshot{Revision: 1} }, exitOK, "warn prefix: there is no key below /services/web"},
		{"registry away", func(b *bench) { b.snapshotErr = registry.ErrUnavailable }, exitRegistry, "fail registry: registry not reachable"},
		{"HAProxy down", func(b *bench) { b.findings = []haproxy.Finding{down} }, exitHAProxy, "fail stats socket: /run/x.sock:; refused (start HAProxy)\n"},
		{"both: the first counts", func(b *bench) {
			b.snapshotErr, b.findings = registry.ErrUnavailable, []haproxy.Finding{down}
		}, exitRegistry, "/run/x.sock"},
		{"no haproxy at all", func(b *bench) { b.openErr = errors.New("not installed") }, exitHAProxy, "fail haproxy: not installed"},
		{"only a warning", func(b *bench) {
			b.findings = []haproxy.Finding{{Level: haproxy.LevelWarn, What: "mode", Detail: "tcp"}}
		}, exitOK, "warn mode: tcp\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := oneHost()
			tt.change(b)
			got := b.run(t, "check")
			if got.code != tt.code || b.wrote || b.locked {
				t.Errorf("code %d, want %d; wrote %t, locked %t", got.code, tt.code, b.wrote, b.locked)
			}
			wantContains(t, "stdout", got.stdout, tt.stdout)
			for line := range strings.Lines(got.stdout) {
				if level, _, _ := strings.Cut(line, " "); level != "ok" && level != "warn" && level != "fail" {
					t.Errorf("line %q", line)
				}
			}
		})
	}
}

func TestCheckWarnsOfSecretsThatOthersCanRead(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open, closed := file("open", "secret\n", 0o644), file("closed", "secret\n", 0o640)
	for _, tt := range []struct {
		args []string
		want string // no warning if empty
	}{
		{[]string{"--endpoints", "http://10.0.0.1:2379", "--user", "u", "--password-file", closed}, "warn password: the password goes to http://10.0.0.1:2379 in clear text"},
		{[]string{"--endpoints", "etcd1:2379", "--user", "u", "--password-file", closed}, "warn password: the password goes to etcd1:2379 in clear text"},
		{[]string{"--endpoints", "https://10.0.0.1:2379", "--user", "u", "--password-file", closed}, ""},
		{[]string{"--endpoints", "http://127.0.0.1:2379,http://localhost:2379,[::1]:2379", "--user", "u", "--password-file", closed}, ""},
		{[]string{"--endpoints", "http://10.0.0.1:2379"}, ""},
		{[]string{"--user", "u", "--password-file", open}, "warn password file: every user of this machine can read " + open + " (mode 0644) (chmod o= " + open + ")"},
		{[]string{"--config-file", file("a.yaml", "frontend: webin\n", 0o664)}, "warn config file: others than its owner can write "},
		{[]string{"--config-file", file("b.yaml", "frontend: webin\n", 0o644)}, ""},
	} {
		got := oneHost().run(t, append([]string{"check"}, tt.args...)...)
		if tt.want == "" {
			if strings.Contains(got.stdout, "warn") {
				t.Errorf("%q: %s", tt.args, got.stdout)
			}
			continue
		}
		wantContains(t, "stdout", got.stdout, tt.want)
	}
}

func TestCheckSaysWhatNewDomainsNeedToComeWithoutAReload(t *testing.T) {
	plain := haproxy.BackendOptions{Balance: "roundrobin", Cookie: haproxy.StickyCookie}
	fits := map[haproxy.BackendOptions]string{plain: "domain"}
	for _, tt := range []struct {
		name string
		d    haproxy.Dynamic
		args []string
		want string // no line if empty
	}{
		{"HAProxy cannot take them", haproxy.Dynamic{}, nil, ""},
		{"all is there", haproxy.Dynamic{Allowed: true, Defaults: fits, Routes: map[string]bool{"webin": true}}, nil, "ok   new domains: come without a reload\n"},
		{"spare backends are free", haproxy.Dynamic{Spares: map[haproxy.BackendOptions]int{plain: 2}, Routes: map[string]bool{"webin": true}}, nil,
			"ok   new domains: 2 come without a reload, in spare backends\n"},
		{"no spare backend is free", haproxy.Dynamic{Spares: map[haproxy.BackendOptions]int{plain: 0}, Routes: map[string]bool{"webin": true}}, nil,
			"ok   new domains: the next one takes a reload, which frees all spare backends\n"},
		{"no spare backend is loaded", haproxy.Dynamic{Spares: map[haproxy.BackendOptions]int{}, Routes: map[string]bool{"webin": true}}, nil,
			"warn new domains: the next one takes a reload: HAProxy has loaded no spare backend (hapsync writes them with the next new domain; if they are there, take"},
		{"spare backends of another cookie", haproxy.Dynamic{Spares: map[haproxy.BackendOptions]int{plain: 2}, Routes: map[string]bool{"webin": true}}, []string{"--cookie", "SRV"},
			"ok   new domains: the next one takes a reload: the spare backends that HAProxy has loaded have another balance or cookie\n"},
		{"spare backends without a map rule", haproxy.Dynamic{Spares: map[haproxy.BackendOptions]int{plain: 2}}, nil,
			"warn new domains: each takes a reload: a frontend has no rule that reads the map file and comes right behind the rules of all domains (hapsync writes"},
		{"the settings rule it out", haproxy.Dynamic{Defaults: fits, Routes: map[string]bool{"webin": true}}, nil,
			"ok   new domains: each takes a reload, as --dynamic-domains off asks for\n"},
		{"no defaults", haproxy.Dynamic{Allowed: true, Routes: map[string]bool{"webin": true}}, nil,
			`warn new domains: each takes a reload: no named defaults section says exactly what the managed file says for a domain ` +
				`(in /etc/haproxy/haproxy.cfg give the defaults that hold for the managed file a name, such as web; below it write "defaults domain from web" ` +
				`with the lines "balance roundrobin" and "cookie SERVERID insert indirect nocache", then "defaults from web" as the last line, and reload HAProxy)`},
		{"other defaults", haproxy.Dynamic{Allowed: true, Defaults: fits, Routes: map[string]bool{"webin": true}}, []string{"--cookie", "SRV"},
			`with the lines "balance roundrobin" and "cookie SRV insert indirect nocache", then "defaults from web"`},
		{"no defaults without a cookie", haproxy.Dynamic{Allowed: true, Defaults: fits, Routes: map[string]bool{"webin": true}}, []string{"--cookie", "off"},
			`write "defaults domain from web" with the line "balance roundrobin", then "defaults from web"`},
		{"no map rule", haproxy.Dynamic{Allowed: true, Defaults: fits, Routes: map[string]bool{"other": true}}, nil,
			"warn new domains: the next one takes a reload: HAProxy has loaded no rule of frontend webin that reads the map file and comes right behind " +
				"the rules of all domains (hapsync writes that rule with the next new domain; if it is there, move your use_backend rules out from between hapsync's, and reload HAProxy)\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := oneHost()
			b.state.Dynamic = tt.d
			b.state.File.Rules = []haproxy.Rule{{Frontend: "webin", Domain: "a.abc.com"}}
			b.state.Capabilities = haproxy.Capabilities{Backends: tt.want != "" && tt.d.Spares == nil, CookieLive: true}
			got := b.run(t, append([]string{"check", "--base-file", "/etc/haproxy/haproxy.cfg"}, tt.args...)...)
			wantContains(t, "stdout", got.stdout, tt.want)
			if strings.Contains(got.stdout, "new domains") != (tt.want != "") || got.code != exitOK {
				t.Errorf("code %d: %s", got.code, got.stdout)
			}
		})
	}
}

func TestCheckNamesLearnersAndAlarms(t *testing.T) {
	b := oneHost()
	b.members = []etcd.Member{
		{Endpoint: "http://a:2379", Alarms: []string{"NOSPACE"}}, {Endpoint: "http://b:2379", Learner: true, Alarms: []string{"NOSPACE"}},
		{Endpoint: "http://c:2379", Err: errors.New("connection refused")}, {Endpoint: "http://d:2379", NoLeader: true, Alarms: []string{"CORRUPT"}},
	}
	got := b.run(t, "check")
	wantContains(t, "the members", got.stdout,
		"warn endpoint: http://b:2379 is a learner, which answers no request (it is passed over until `etcdctl member promote`)",
		"warn endpoint: http://c:2379 does not answer: connection refused",
		"warn endpoint: http://d:2379 has no leader",
		"warn alarm: etcd takes no writes, because it is over its quota (NOSPACE) (compact it, defragment it, then `etcdctl alarm disarm`)",
		"warn alarm: etcd has the alarm CORRUPT")
}

func TestCheckFailsForEndpointsOfDifferentClusters(t *testing.T) {
	b := oneHost()
	b.members = []etcd.Member{
		{Endpoint: "http://a:2379", Cluster: 0xa1}, {Endpoint: "http://b:2379", Cluster: 0xb2}, {Endpoint: "http://c:2379", Err: errors.New("connection refused")},
	}
	got := b.run(t, "check")
	wantContains(t, "the members", got.stdout,
		"fail endpoints: they belong to different clusters: http://a:2379 is of cluster a1, http://b:2379 is of cluster b2 (give those of one only)")
	if got.code != exitRegistry {
		t.Errorf("code %d", got.code)
	}
	b.members[1].Cluster = 0xa1
	if got := b.run(t, "check"); got.code != exitOK || strings.Contains(got.stdout, "clusters") {
		t.Errorf("code %d: %s", got.code, got.stdout)
	}
}
