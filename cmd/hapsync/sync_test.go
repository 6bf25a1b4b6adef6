package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

func TestSyncExitCodes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*bench)
		code   int
		stderr string
	}{
		{"brings HAProxy in line", func(*bench) {}, exitOK, ""},
		{"registry away", func(b *bench) {
			b.snapshotErr = fmt.Errorf("etcd at x: %w", registry.ErrUnavailable)
		}, exitRegistry, "not reachable"},
		{"HAProxy not there", func(b *bench) { b.openErr = fmt.Errorf("x: %w", haproxy.ErrDown) }, exitHAProxy, "x: "},
		{"HAProxy not running, the file is brought in line", func(b *bench) {
			b.state.Down = fmt.Errorf("/run/x.sock: %w", haproxy.ErrDown)
		}, exitHAProxy, "the file is in line, but no running HAProxy was reached: /run/x.sock"},
		{"the reload fails", func(b *bench) { b.reloadErr = &haproxy.ReloadError{} }, exitHAProxy, "hapsync: "},
		{"another one is at work", func(b *bench) { b.lockErr = haproxy.ErrLocked }, exitError, "another hapsync is at work"},
		{"an empty registry is held", func(b *bench) {
			b.state.File = threeServers()
			b.state.Live = threeServers()
			b.snapshot = registry.Snapshot{Revision: 7}
		}, exitHeld, "--allow-mass-removal"},
		{"a bad host is left out", func(b *bench) {
			b.snapshot.Domains[0].HeldHosts = []string{"server2"}
			b.snapshot.Problems = []registry.Problem{{Key: "/services/web/a.abc.com/server2/port", Reason: "not a port",
				Domain: "a.abc.com", Host: "server2"}}
		}, exitLeftOut, "left out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := oneHost()
			tt.change(b)
			got := b.run(t, "sync")
			if got.code != tt.code {
				t.Errorf("code %d, want %d\n%s%s", got.code, tt.code, got.stdout, got.stderr)
			}
			wantContains(t, "stderr", got.stderr, tt.stderr)
			if tt.code == exitOK && (got.stderr != "" || !b.locked || !b.wrote) {
				t.Errorf("locked %t, wrote %t, stderr %q", b.locked, b.wrote, got.stderr)
			}
		})
	}
}

func threeServers() haproxy.Config {
	var c haproxy.Config
	for _, domain := range []string{"a.abc.com", "b.abc.com", "c.abc.com"} {
		c.Backends = append(c.Backends, haproxy.Backend{
			Name:    haproxy.BackendName(domain),
			Options: haproxy.BackendOptions{Balance: "roundrobin", Cookie: haproxy.StickyCookie},
			Servers: []haproxy.Server{{Name: "s", Cookie: "s", Check: true, Weight: 1, State: haproxy.Ready}},
		})
		c.Rules = append(c.Rules, haproxy.Rule{Frontend: "webin", Domain: domain})
	}
	return c
}

func TestPlanTouchesNothing(t *testing.T) {
	for _, args := range []string{"plan", "plan -o json", "sync --dry-run", "sync --noop"} {
		b := oneHost()
		got := b.run(t, strings.Fields(args)...)
		if got.code != exitOK || b.wrote || b.locked {
			t.Errorf("%s: code %d, wrote %t, locked %t: %s", args, got.code, b.wrote, b.locked, got.stderr)
		}
		wantContains(t, args, got.stdout, "a.abc.com_cluster")
	}
}

func TestDetailedExitCode(t *testing.T) {
	b := oneHost()
	got := b.run(t, "plan", "--detailed-exitcode")
	if got.code != exitChanges || got.stderr != "" {
		t.Errorf("with changes: code %d, %s", got.code, got.stderr)
	}
	if got := b.run(t, "sync"); got.code != exitOK {
		t.Fatalf("sync: code %d, %s", got.code, got.stderr)
	}
	if got := b.run(t, "plan", "--detailed-exitcode"); got.code != exitOK {
		t.Errorf("in line: code %d\n%s", got.code, got.stdout)
	}
}

func TestDetailedExitCodeIsNotInLineWithoutAProcess(t *testing.T) {
	b := &bench{state: haproxy.State{Digest: "x", Down: haproxy.ErrDown}}
	for args, code := range map[string]int{"plan": exitOK, "plan --detailed-exitcode": exitHAProxy} {
		if got := b.run(t, strings.Fields(args)...); got.code != code {
			t.Errorf("%s: code %d, want %d\n%s%s", args, got.code, code, got.stdout, got.stderr)
		}
	}
}

func TestHeldPlanIsShown(t *testing.T) {
	b := oneHost()
	b.state.File, b.state.Live = threeServers(), threeServers()
	b.snapshot = registry.Snapshot{Revision: 7}
	for _, command := range []string{"plan", "sync"} {
		got := b.run(t, command)
		if got.code != exitHeld || b.wrote {
			t.Errorf("%s: code %d, wrote %t", command, got.code, b.wrote)
		}
		wantContains(t, command, got.stdout, "b.abc.com_cluster")
	}
	if got := b.run(t, "sync", "--allow-mass-removal"); got.code != exitOK {
		t.Errorf("confirmed: code %d, %s", got.code, got.stderr)
	}
}

func TestFailedPassDoesNotReadAsInLine(t *testing.T) {
	b := oneHost()
	b.snapshotErr = registry.ErrUnavailable
	if got := b.run(t, "sync"); got.stdout != "" {
		t.Errorf("stdout %q", got.stdout)
	}
	got := b.run(t, "sync", "-o", "json")
	var report struct {
		Version int  `json:"version"`
		Applied bool `json:"applied"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil || report.Version == 0 || report.Applied {
		t.Errorf("%v: %s", err, got.stdout)
	}
}

func TestSettingsReachHAProxy(t *testing.T) {
	b := oneHost()
	b.openErr = errors.New("enough seen")
	b.run(t, "sync", "--frontend", "web,tls", "--reload-command", " systemctl  reload haproxy ", "--master-socket", "/m.sock",
		"--runtime-socket", "/r.sock", "--base-file", "/b.cfg", "--managed-file", "/m.cfg", "--haproxy-bin", "/bin/h",
		"--drain-timeout", "3s", "--reload-timeout", "7s", "--first-check", "haproxy", "--dynamic-domains", "off", "--spare-backends", "7", "--cookie", "SID")
	want := `{/b.cfg /m.cfg [] [web tls] /bin/h /r.sock /m.sock [systemctl reload haproxy] 0s 7s 3s false true true {7 balance roundrobin, cookie "SID insert indirect nocache"} <nil>}`
	if b.opened.Logger == nil {
		t.Error("no logger")
	}
	b.opened.Logger = nil
	if got := fmt.Sprint(b.opened); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestNoVerdictWithoutAComparison(t *testing.T) {
	b := oneHost()
	b.stateErr = errors.New("open /etc/haproxy/haproxy.cfg: permission denied")
	for _, command := range []string{"plan", "sync", "status"} {
		args := []string{command}
		if command == "status" {
			args = append(args, "--listen", "off")
		}
		got := b.run(t, args...)
		if got.code != exitError || strings.Contains(got.stdout, "in line") || !strings.Contains(got.stderr, "permission denied") {
			t.Errorf("%s: code %d\n%s%s", command, got.code, got.stdout, got.stderr)
		}
	}
	for _, command := range []string{"plan", "sync"} {
		got := b.run(t, command, "-o", "json")
		wantContains(t, command, got.stdout, `"in_line": false`, `"error": "open /etc/haproxy/haproxy.cfg: permission denied"`)
	}
}

func TestPlanSaysWhetherAHAProxyThatIsNotReachedRuns(t *testing.T) {
	down := fmt.Errorf("/run/x.sock: %w", haproxy.ErrDown)
	for _, tt := range []struct {
		name string
		down error
		args []string
		code int
	}{
		{"not started yet", down, nil, exitOK},
		{"its stats socket is named wrong", down, []string{"--runtime-socket", "/run/x.sock"}, exitHAProxy},
		{"its master answers", fmt.Errorf("%w; %w", down, haproxy.ErrRuns), nil, exitHAProxy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := oneHost()
			b.snapshot.Domains = nil
			b.state.Down = tt.down
			got := b.run(t, append([]string{"plan"}, tt.args...)...)
			if got.code != tt.code || strings.Contains(got.stdout, "not running") {
				t.Errorf("code %d, want %d\n%s%s", got.code, tt.code, got.stdout, got.stderr)
			}
			wantContains(t, "output", got.stdout, "haproxy        /run/x.sock: haproxy does not answer", "file in line, haproxy not reached: ")
		})
	}
}
