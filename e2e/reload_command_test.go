package e2e

import (
	"path/filepath"
	"testing"
)

// TestAReloadCommandThatFailsLeavesTheFileToTheNextReload is about a HAProxy without a master's socket.
func TestAReloadCommandThatFailsLeavesTheFileToTheNextReload(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBox(t, h)
		b.init(t)
		start := func() *process {
			p := startProcess(t, filepath.Join(b.dir, "haproxy.log"), h.path, "-db", "-f", b.baseFile, "-f", b.managedFile)
			p.Eventually(t, "HAProxy answers", func() error {
				_, err := b.pid()
				return err
			})
			return p
		}
		p, a := start(), startHost(t, "a.abc.com")
		b.register(t, "a.abc.com/server1", a.addr)
		for command, want := range map[string]string{
			"/bin/false":          "exit status 1",
			"/nonexistent/reload": "no such file",
			"/bin/true":           "no new worker answers",
			"":                    "master socket",
		} {
			o := b.hapsync(t, "sync", "--reload-command", command, "--reload-timeout", "2s")
			if o.code != 4 {
				t.Errorf("want exit code 4: %s", o)
			}
			says(t, o.stderr, want)
			b.managed(t, "a.abc.com server1="+a.addr)
			b.unknown(t, "a.abc.com")
		}

		p.Terminate(t)
		start()
		b.serves(t, "a.abc.com", "", a)
		b.must(t, "sync")
	})
}
