package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// Lines of an operator's that need something of b.abc.com, so that HAProxy refuses a file without it.
var needed = []struct {
	name, before, line, gone string
}{
	{"an http-request rule needs its ACL", "    use_backend a.abc.com", "    http-request deny if is_b.abc.com { path_beg /admin }\n", "b.abc.com"},
	{"a use_backend rule needs its backend", "    use_backend a.abc.com", "    use_backend b.abc.com_cluster if { path_beg /b }\n", "b.abc.com"},
	{"a use-server rule needs its server", "    server server1 127.0.0.1:2 ", "    use-server server1 if { path_beg /1 }\n", "b.abc.com/server1"},
}

func TestDomainThatHAProxyRefusesIsLeftOutAndNamed(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		for _, n := range needed {
			t.Run(n.name, func(t *testing.T) {
				t.Parallel()
				b := startBox(t, h)
				a, c := startHost(t, "a.abc.com"), startHost(t, "c.abc.com")
				b.register(t, "a.abc.com/server1", a.addr)
				b.register(t, "b.abc.com/server1", "127.0.0.1:2")
				b.register(t, "b.abc.com/server2", a.addr)
				b.must(t, "sync")
				operator(t, b.managedFile, n.before, n.line+n.before)
				b.reload(t)
				w := startWatch(t, b)
				b.unregister(t, n.gone)
				b.register(t, "c.abc.com/server1", c.addr)

				o := b.exits(t, 6, "sync")
				says(t, o.stdout, "problem ", n.gone+":", "refuses")
				b.reloadedOnce(t, w.serving)
				b.serves(t, "a.abc.com", "", a)
				b.serves(t, "c.abc.com", "", c)
				if n.gone == "b.abc.com" {
					b.unknown(t, "b.abc.com") // it stays in the file, but its hosts are out of service
				} else {
					b.serves(t, "b.abc.com", "server2", a)
				}
				if text := read(t, b.managedFile); !strings.Contains(text, "server server1 127.0.0.1:2 ") || !strings.Contains(text, n.line) {
					t.Errorf("not left as it was:\n%s", text)
				}

				w.begin(t)
				again := b.exits(t, 6, "sync")
				says(t, again.stdout, "problem ", n.gone+":", "refuses")
				says(t, again.stdout, "in line: ")
				w.untouched(t, "the next sync")

				operator(t, b.managedFile, n.line, "")
				b.reload(t)
				b.must(t, "sync")
				b.inLine(t)
				if text := read(t, b.managedFile); strings.Contains(text, "server server1 127.0.0.1:2 ") {
					t.Errorf("still not followed:\n%s", text)
				}
			})
		}
	})
}

// TestAPlanSaysThatARemovalIsHeldWhichHAProxyRefuses compares a plan with what sync then does.
func TestAPlanSaysThatARemovalIsHeldWhichHAProxyRefuses(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"use-server": "    use-server server1 if { path_beg /1 }\n", "quoted use-server": "    use-server \"server1\" if { path_beg /1 }\n",
		"track": "    server other 127.0.0.1:3 track a.abc.com_cluster/server1\n", "track in the same backend": "    server other 127.0.0.1:3 track server1\n",
	} {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := startBox(t, h)
				one, two := startHost(t, "one"), startHost(t, "two")
				b.register(t, "a.abc.com/server1", one.addr)
				b.register(t, "a.abc.com/server2", two.addr)
				b.must(t, "sync")
				operator(t, b.managedFile, "    server server1 ", line+"    server server1 ")
				b.reload(t)
				b.unregister(t, "a.abc.com/server1")

				plan := b.hapsync(t, "plan")
				says(t, plan.stdout, "problem ", "a.abc.com/server1: out of service, but left in the file", strings.Fields(line)[0])
				if strings.Contains(plan.stdout, "- server") {
					t.Errorf("the plan shows a removal, which HAProxy refuses: %s", plan)
				}
				sync := b.exits(t, 6, "sync")
				for l := range strings.Lines(plan.stdout) {
					if !strings.HasPrefix(l, "to do: ") && !strings.Contains(sync.stdout, l) {
						t.Errorf("the plan has %q, sync has not: %s", l, sync)
					}
				}
				b.serves(t, "a.abc.com", "", two)
				for _, again := range []outcome{b.hapsync(t, "plan"), b.exits(t, 6, "sync")} {
					says(t, again.stdout, "in line: ")
					says(t, again.stdout, "problem ", "left in the file")
				}

				operator(t, b.managedFile, line, "")
				b.reload(t)
				b.must(t, "sync")
				b.inLine(t)
			})
		})
	}
}

func TestWhatIsAcknowledgedBesideARemovalThatHAProxyRefusesStays(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		one, two := startHost(t, "one"), startHost(t, "two")
		b.register(t, "a.abc.com/server1", one.addr)
		b.register(t, "a.abc.com/server2", two.addr)
		b.must(t, "sync")
		operator(t, b.managedFile, "    server server1 ", "    use-server server1 if { path_beg /one }\n    server server1 ")
		b.reload(t)
		a := b.startAgent(t, "--max-removal", "100")
		a.ready(t)
		b.unregister(t, "a.abc.com/server1")
		a.logs(t, 0, "a.abc.com/server1", "refuses")
		b.serves(t, "a.abc.com", "", two) // the host that left is out of service

		o := b.must(t, "weight", "--wait", "a.abc.com/server2", "7")
		says(t, o.stdout, "applied by 1 agent")
		third := startHost(t, "third")
		b.txn(t, addrOf(t, "a.abc.com/server2", third.addr))
		b.comes(t, "a.abc.com", "server2", third)
		for range 5 {
			passes, err := a.metric("hapsync_passes_total")
			if err != nil {
				t.Fatal(err)
			}
			a.signal(t, syscall.SIGHUP)
			eventually(t, "the agent reads all and tries the removal again", func() error {
				if now, err := a.metric("hapsync_passes_total"); err != nil || now == passes {
					return fmt.Errorf("%v passes, %w", now, err)
				}
				return nil
			})
		}
		b.weighs(t, "a.abc.com_cluster/server2", "7 ")
		b.serves(t, "a.abc.com", "server2", third)
		eventually(t, "the file has the new address and the operator's line", func() error { // it follows the process
			if text := read(t, b.managedFile); !strings.Contains(text, "server server2 "+third.addr) || !strings.Contains(text, "use-server server1") {
				return fmt.Errorf("the file is\n%s", text)
			}
			return nil
		})
		says(t, b.must(t, "maint", "--wait", "a.abc.com/server2").stdout, "applied by 1 agent")
		if got, err := get(b.web, "a.abc.com", ""); err != nil || got.status != 503 {
			t.Errorf("with its only host in maintenance it answers %s, %v", got, err)
		}
		operator(t, b.managedFile, "    use-server server1 if { path_beg /one }\n", "")
		a.signal(t, syscall.SIGHUP)
		a.logs(t, 0, "no problem any more", "a.abc.com/server1")
		a.ready(t)
		if text := read(t, b.managedFile); strings.Contains(text, "server server1 ") {
			t.Errorf("still not followed:\n%s", text)
		}
	})
}
