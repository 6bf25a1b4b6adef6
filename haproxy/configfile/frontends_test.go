package configfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
)

func TestAFrontendThatCannotCarryTheRulesIsRefusedWithTheWayOut(t *testing.T) {
	t.Parallel()
	const base = "global\ndefaults\n    mode http\n"
	cases := map[string]struct{ Base, Managed, says string }{
		"it is in the base file, and there is no managed file": {base + "frontend webin\n    bind :80\n", "", "haproxy.cfg:4) is in the base file"},
		"it is in both files":       {base + "frontend webin\n    bind :80\n", "frontend webin\n    bind :81\n", "is in the base file"},
		"it is nowhere":             {base, "frontend other\n    bind :80\n", "has no frontend webin; add it"},
		"a listen has its name":     {base, "listen webin\n    bind :80\n", "hapsync.cfg:1) is a listen section, and hapsync writes its rules into a frontend alone; split it into a frontend"},
		"a listen of the base file": {base + "listen webin\n    bind :80\n", "frontend other\n    bind :81\n", "haproxy.cfg:4) is a listen section"},
		"it stands in an .if block": {base, ".if defined(X)\nfrontend webin\n    bind :80\n.endif\n", "hapsync.cfg:2: frontend webin stands between .if and .endif"},
		"there is no base file":     {"", "frontend webin\n    bind :80\n", "haproxy.cfg is missing; name the file that HAProxy is started with by --base-file"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := haproxy.Settings{BaseFile: filepath.Join(dir, "haproxy.cfg"), ManagedFile: filepath.Join(dir, "hapsync.cfg")}
			for file, text := range map[string]string{s.BaseFile: c.Base, s.ManagedFile: c.Managed} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s.Frontends = []string{"webin"}
			files, err := OpenFiles(s, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := files.Read(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("says %v, not %q", err, c.says)
			}
		})
	}
}

func TestAFileThatIsNoConfigurationIsNamedWithTheWayOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		put  func(path string) error
		says string
	}{
		"missing":     {func(string) error { return nil }, "haproxy.cfg is missing; name the file that HAProxy is started with by --base-file"},
		"empty":       {func(path string) error { return os.WriteFile(path, []byte(" \n"), 0o600) }, "haproxy.cfg is empty; name the file"},
		"a directory": {func(path string) error { return os.Mkdir(path, 0o700) }, "haproxy.cfg is a directory; name the file in it"},
	} {
		path := filepath.Join(t.TempDir(), "haproxy.cfg")
		if err := c.put(path); err != nil {
			t.Fatal(err)
		}
		for _, managed := range []string{path, path + ".managed"} {
			if name == "empty" && managed != path {
				continue // an empty base file is one
			}
			files, err := OpenFiles(haproxy.Settings{BaseFile: path, ManagedFile: managed, Frontends: []string{"webin"}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := files.Read(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s, managed file %s: says %v, not %q", name, managed, err, c.says)
			}
		}
	}
}
