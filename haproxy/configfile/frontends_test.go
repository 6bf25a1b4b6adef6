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
		"it stands in an .if block": {base, ".if defined(X)\nfrontend webin\n    bind :80\n.endif\n", "hapsync.cfg:2: frontend webin stands between .if and .endif"},
		"there is no base file":     {"", "frontend webin\n    bind :80\n", "haproxy.cfg is missing; name HAProxy's own configuration with --base-file"},
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
