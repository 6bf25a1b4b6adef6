package configfile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
)

func TestWarningsNameTheLineThatIsToChange(t *testing.T) {
	t.Parallel()
	const (
		base  = "global\ndefaults\n    mode http\n"
		rules = "    acl is_a.com hdr(host) -i a.com\n    use_backend a.com_cluster if is_a.com\n"
		webin = "frontend webin\n    bind :80\n" + rules
		a     = "backend a.com_cluster\n    balance roundrobin\n    server s 10.0.0.1:80 check\n"
	)
	byMap := AllByMap("@DIR@/hapsync.domains.map", false)
	for name, c := range map[string]struct{ base, managed, says string }{
		"none": {base, webin + a, ""},
		"mode tcp in the frontend": {base, "frontend webin\n    bind :80\n    mode tcp\n" + rules + a,
			`delete its own line "mode tcp" (@DIR@/hapsync.cfg:3), or write "mode http" there`},
		"mode tcp in the defaults":           {"global\ndefaults\n    mode tcp\n", webin + a, `write "mode http" into its defaults (@DIR@/haproxy.cfg:2)`},
		"mode tcp in defaults of its own":    {base, "defaults t\n    mode tcp\n" + strings.Replace(webin, "webin", "webin from t", 1) + a, "into its defaults (@DIR@/hapsync.cfg:1)"},
		"no defaults":                        {"global\n", webin + a, `write "mode http" into the defaults of @DIR@/haproxy.cfg`},
		"rules in a frontend that was named": {base, webin + "frontend second\n    bind :81\n" + rules + a, "frontend second still has hapsync's rules (@DIR@/hapsync.cfg:8)"},
		"rules by a map in a frontend that was named": {base, webin + "frontend second\n    bind :81\n    acl is_a.com hdr(host) -i a.com\n    " + byMap + "\n" + a,
			"frontend second still has hapsync's rules (@DIR@/hapsync.cfg:8)"},
		"rules of an operator's in another frontend": {base, webin + "frontend second\n    bind :81\n    use_backend a.com_cluster if { path_beg /a }\n" + a, ""},
		"rules of a domain that is not hapsync's":    {base, webin + "frontend second\n    bind :81\n" + strings.ReplaceAll(rules, "a.com", "b.com") + a, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := haproxy.Settings{BaseFile: filepath.Join(dir, "haproxy.cfg"), ManagedFile: filepath.Join(dir, "hapsync.cfg"), Frontends: []string{"webin"}}
			for file, text := range map[string]string{s.BaseFile: c.base, s.ManagedFile: strings.ReplaceAll(c.managed, "@DIR@", dir)} {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			files, err := OpenFiles(s, nil)
			if err != nil {
				t.Fatal(err)
			}
			warnings, says := files.Warnings(readSite(t, files)), strings.ReplaceAll(c.says, "@DIR@", dir)
			if says == "" && len(warnings) > 0 || says != "" && !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, says) }) {
				t.Errorf("got %q, want %q", warnings, says)
			}
		})
	}
}
