package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// levels are the levels of the findings, by Finding.What.
func levels(found []haproxy.Finding) map[string][]haproxy.Level {
	out := map[string][]haproxy.Level{}
	for _, f := range found {
		out[f.What] = append(out[f.What], f.Level)
	}
	return out
}

func TestCheckGoesOnBehindAFailure(t *testing.T) {
	t.Parallel()
	master := filepath.Join(t.TempDir(), "master.sock")
	for _, tt := range []struct {
		name     string
		settings haproxy.Settings
		want     []string // all that fails
	}{
		{"program and base file", haproxy.Settings{Binary: "/bin/true", BaseFile: "/nowhere/haproxy.cfg", RuntimeSocket: "/nowhere/x.sock", MasterSocket: master},
			[]string{"haproxy binary", "files", "stats socket", "master socket"}},
		{"the base file alone", haproxy.Settings{Binary: "/bin/true", BaseFile: "/nowhere/haproxy.cfg", MasterSocket: master},
			[]string{"haproxy binary", "files", "master socket"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.settings.ManagedFile = filepath.Join(t.TempDir(), "hapsync.cfg")
			tt.settings.Frontends = []string{"webin"}
			h, err := Open(tt.settings)
			if err != nil {
				t.Fatal(err)
			}
			found := levels(h.Check(t.Context()))
			for _, what := range tt.want {
				if !slices.Contains(found[what], haproxy.LevelFail) {
					t.Errorf("%s does not fail: %v", what, found)
				}
			}
		})
	}
}

func TestCheckWarnsOfAProgramOfAnotherVersion(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, "127.0.0.1:1", "127.0.0.1:1"))
		other := filepath.Join(t.TempDir(), "haproxy")
		script := "#!/bin/sh\ncase $1 in -v) echo HAProxy version 9.9.1;; *) exec " + bin + " \"$@\";; esac\n"
		if err := os.WriteFile(other, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		h, err := Open(haproxy.Settings{Binary: other, BaseFile: p.BaseFile, ManagedFile: p.ManagedFile, Frontends: []string{"webin"}})
		if err != nil {
			t.Fatal(err)
		}
		if found := levels(h.Check(t.Context())); !slices.Contains(found["haproxy binary"], haproxy.LevelWarn) {
			t.Errorf("found %v", found)
		}
		st, err := h.State(t.Context())
		if err != nil || !slices.ContainsFunc(st.Warnings, func(w string) bool { return strings.Contains(w, "HAProxy 9.9") }) {
			t.Errorf("warnings %q, %v", st.Warnings, err)
		}
	})
}

func TestCheckWarnsOfAServerStateFileThatOthersMayReplace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		folder, file os.FileMode
		want         haproxy.Level
	}{
		"of its own":                  {0o755, 0o644, haproxy.LevelOK},
		"in a folder of HAProxy's":    {0o775, 0o644, haproxy.LevelWarn},
		"open to the group":           {0o755, 0o664, haproxy.LevelWarn},
		"in a folder of all's, /tmp":  {0o777 | os.ModeSticky, 0o600, haproxy.LevelOK},
		"in one that all may replace": {0o777, 0o600, haproxy.LevelWarn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, folder := t.TempDir(), t.TempDir()
			base, managed, state := filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "hapsync.cfg"), filepath.Join(folder, "state")
			text := "global\n    server-state-file " + state + "\ndefaults\n    mode http\n    load-server-state-from-file global\n"
			err := errors.Join(os.WriteFile(base, []byte(text), 0o600), os.WriteFile(managed, []byte("frontend webin\n    bind :80\n"), 0o600),
				os.WriteFile(state, nil, 0o600), os.Chmod(state, c.file), os.Chmod(folder, c.folder))
			if err != nil {
				t.Fatal(err)
			}
			h, err := Open(haproxy.Settings{Binary: haproxytest.FirstHAProxy(t), BaseFile: base, ManagedFile: managed, Frontends: []string{"webin"}})
			if err != nil {
				t.Fatal(err)
			}
			if found := levels(h.Check(t.Context()))["health"]; !slices.Equal(found, []haproxy.Level{c.want}) {
				t.Errorf("found %v", found)
			}
		})
	}
}

func TestCheckTellsOnceOfCookiesThatScriptsMayRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base, managed := filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "hapsync.cfg")
	for more, want := range map[string]string{
		"":            "those of a.com_cluster and 1 more",
		" secure":     "that of b.com_cluster",
		" httponly":   "that of b.com_cluster",
		" domain x.y": "those of a.com_cluster and 1 more",
	} {
		text := "frontend webin\n    bind :80\n"
		for domain, words := range map[string]string{"a.com": more, "b.com": ""} {
			text = strings.Replace(text, ":80\n", fmt.Sprintf(":80\n    acl is_%[1]s hdr(host) -i %[1]s\n    use_backend %[1]s_cluster if is_%[1]s\n", domain), 1) +
				fmt.Sprintf("backend %s_cluster\n    balance roundrobin\n    cookie SERVERID insert indirect nocache%s\n", domain, words)
		}
		if err := errors.Join(os.WriteFile(base, []byte("defaults\n    mode http\n"), 0o600), os.WriteFile(managed, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		h, err := Open(haproxy.Settings{Binary: haproxytest.FirstHAProxy(t), BaseFile: base, ManagedFile: managed, Frontends: []string{"webin"}})
		if err != nil {
			t.Fatal(err)
		}
		found := slices.DeleteFunc(h.Check(t.Context()), func(f haproxy.Finding) bool { return f.What != "cookie" })
		if len(found) != 1 || found[0].Level != haproxy.LevelOK || !strings.HasPrefix(found[0].Detail, want+" ") {
			t.Errorf("with %q: %v", more, found)
		}
	}
}

func TestCheckRecommendsTheMapToManyRules(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{manyRules - 1: 0, manyRules: 1} {
		for _, byMap := range []bool{false, true} {
			var f configfile.Reading
			for i := range n {
				f.Managed.Config.Rules = append(f.Managed.Config.Rules, haproxy.Rule{Frontend: "webin", Domain: fmt.Sprintf("d%d.org", i), ByMap: byMap})
			}
			var c findings
			if c.routing(f); len(c.list) != want && !byMap || len(c.list) > 0 && byMap {
				t.Errorf("%d rules, by the map %t: %v", n, byMap, c.list)
			}
		}
	}
}
