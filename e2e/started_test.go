package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckComparesTheFilesThatHAProxyWasStartedWith has HAProxy start with others than hapsync was told, or in another order.
func TestCheckComparesTheFilesThatHAProxyWasStartedWith(t *testing.T) {
	t.Parallel()
	const judges, order = "haproxy -c judges other files than HAProxy loads", "the defaults of"
	for name, c := range someOf(map[string]struct {
		starts, told string // names of files; told nothing if empty
		warns        string // no warning if empty
	}{
		"as told":                     {"haproxy.cfg hapsync.cfg", "", ""},
		"another base file":           {"other.cfg hapsync.cfg", "", judges},
		"another managed file, too":   {"other.cfg more.cfg", "", judges},
		"the other way round":         {"hapsync.cfg haproxy.cfg", "", order},
		"in another order than told":  {"haproxy.cfg more.cfg hapsync.cfg", "more.cfg haproxy.cfg hapsync.cfg", judges},
		"told fewer":                  {"haproxy.cfg more.cfg hapsync.cfg", "haproxy.cfg hapsync.cfg", judges},
		"told by a link":              {"haproxy.cfg hapsync.cfg", "link.cfg hapsync.cfg", ""},
		"told the files of a folder":  {"folder", "folder/haproxy.cfg folder/hapsync.cfg", ""},
		"told the folder, not to run": {"folder/haproxy.cfg folder/hapsync.cfg", "folder", ""},
	}) {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				folder := filepath.Join(b.dir, "folder")
				if err := os.Mkdir(folder, 0o755); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(c.starts, "folder") {
					base := read(t, b.baseFile)
					b.files(filepath.Join(folder, "haproxy.cfg"), filepath.Join(folder, "hapsync.cfg"))
					b.write(t, b.baseFile, base)
				}
				b.write(t, b.managedFile, besideDefaults+b.frontendLines())
				b.write(t, filepath.Join(b.dir, "other.cfg"), read(t, b.baseFile))
				b.write(t, filepath.Join(b.dir, "more.cfg"), besideDefaults+"frontend more\n    bind "+freeAddr(t)+"\n")
				if err := os.Symlink(b.baseFile, filepath.Join(b.dir, "link.cfg")); err != nil {
					t.Fatal(err)
				}
				paths := func(names string) (all []string) {
					for _, name := range strings.Fields(names) {
						all = append(all, filepath.Join(b.dir, name))
					}
					return all
				}
				b.startWith(t, paths(c.starts)...)
				args := []string{"check", "--runtime-socket", b.runtimeSocket}
				for _, path := range paths(c.told) {
					args = append(args, "--haproxy-file", path)
				}
				o := b.must(t, args...)
				if c.warns == "" {
					says(t, o.stdout, "ok   process: it was started with")
					return
				}
				says(t, o.stdout, "warn process: it was started with", strings.Join(paths(c.starts), ", "), c.warns)
			})
		})
	}
}
