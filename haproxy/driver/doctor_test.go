package driver

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// levels are the levels of what is found, by what.
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
