package e2e

import (
	"strings"
	"testing"
)

// TestASyncThatFailsSaysWhatItHasDone reads the last line of a sync that failed after a part of it.
func TestASyncThatFailsSaysWhatItHasDone(t *testing.T) {
	t.Parallel()
	for name, c := range someOf(map[string]struct {
		broken, down bool
		flags        []string
		last, reason string
	}{
		"a broken base file":             {broken: true, last: "applied: runtime=1 reload=0; to do: transaction=4 reload=1 ", reason: "haproxy -c refuses the configuration"},
		"a broken base file, no HAProxy": {broken: true, down: true, last: "to do: transaction=4 reload=0 ", reason: "haproxy -c refuses the configuration"},
		"a reload command that fails":    {flags: []string{"--master-socket=", "--reload-command", "false"}, last: "applied: runtime=1 transaction=4 reload=0; to do: reload=1 ", reason: "reload"},
	}) {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := startBox(t, h)
				one, two := startHost(t, "one"), startHost(t, "two")
				b.register(t, "a.abc.com/server1", one.addr)
				b.must(t, "sync")
				if c.broken {
					b.write(t, b.baseFile, read(t, b.baseFile)+"\nfrontend broken\n    nonsense\n")
				}
				if c.down {
					b.master.terminate(t)
				}
				b.register(t, "a.abc.com/server1", two.addr)
				b.register(t, "b.abc.com/server1", one.addr)
				o := b.hapsync(t, append([]string{"sync"}, c.flags...)...)
				if o.code != 4 && o.code != 1 {
					t.Errorf("want an error: %s", o)
				}
				says(t, o.stderr, c.reason)
				if strings.Contains(o.stdout, "problem ") {
					t.Errorf("a domain is blamed: %s", o)
				}
				lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
				if last := lines[len(lines)-1]; !strings.HasPrefix(last, c.last) {
					t.Errorf("the last line is %q, want %q: %s", last, c.last, o)
				}
				if !c.down {
					b.serves(t, "a.abc.com", "server1", two)
				}
			})
		})
	}
}

// TestASyncCountsTheReloadOfARefusedStep has a backend in the process that the files no longer have, so that "add backend" is refused.
func TestASyncCountsTheReloadOfARefusedStep(t *testing.T) {
	eachDynamic(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		one := startHost(t, "one")
		base := read(t, b.baseFile)
		b.write(t, b.baseFile, base+"\nbackend c.abc.com_cluster\n    server other "+one.addr+"\n")
		b.reload(t)
		b.write(t, b.baseFile, base)
		b.register(t, "c.abc.com/server1", one.addr)
		w := startWatch(t, b.box)
		o := b.must(t, "sync")
		b.reloadedOnce(t, w.serving)
		says(t, o.stdout, "refused ", "c.abc.com")
		says(t, o.stdout, "reload ", "the running process has not taken all of it", "c.abc.com")
		says(t, o.stdout, "applied: ", " reload=1 ")
		b.serves(t, "c.abc.com", "server1", one)
		b.inLine(t)
	})
}
