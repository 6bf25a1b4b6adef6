package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// silence is an address that takes connections and never says a word.
func silence(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String() // the kernel takes the connections
}

func TestUnreachableRegistryTouchesNothing(t *testing.T) {
	t.Parallel()
	b := startBox(t, firstHAProxy(t))
	b.register(t, "a.abc.com/server1", "127.0.0.1:1")
	b.must(t, "sync")
	b.put(t, "a.abc.com/server1/port", "2")
	w := startWatch(t, b)
	const timeout = time.Second
	for what, addr := range map[string]string{"closed port": freeAddr(t), "silent port": silence(t)} {
		for _, command := range []string{"sync", "plan", "list"} {
			t.Run(what+", "+command, func(t *testing.T) {
				o := b.exits(t, 3, command, "--endpoints", "http://"+addr, "--dial-timeout", timeout.String())
				says(t, o.stderr, "registry not reachable", addr)
				if o.stdout != "" {
					t.Errorf("it reports on what it has not read: %s", o)
				}
			})
		}
	}
	w.untouched(t, "without a registry")
	b.must(t, "sync")
}

func TestEmptyRegistryIsHeldUntilConfirmed(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		w := startWatch(t, b.box)
		for _, command := range []string{"sync", "plan"} {
			o := b.exits(t, 5, command, "--prefix", b.prefix+"x")
			says(t, o.stderr, "held", "no key below", "3 managed servers", "prefix")
			says(t, o.stderr, "--allow-mass-removal")
		}
		w.untouched(t, "a wrong prefix")
		b.inLine(t)

		b.unregister(t, "a.abc.com")
		b.unregister(t, "b.abc.com")
		says(t, b.exits(t, 5, "sync").stderr, "held", "no key below")
		w.untouched(t, "an empty registry")
		b.serves(t, "b.abc.com", "", b.b1)

		b.must(t, "sync", "--allow-mass-removal")
		b.unknown(t, "a.abc.com")
		b.unknown(t, "b.abc.com")
		b.managed(t)
		b.inLine(t)
	})
}

func TestRemovalOfMoreThanHalfIsHeld(t *testing.T) {
	t.Parallel()
	b := startBox(t, firstHAProxy(t))
	const servers = 8
	for i := range servers {
		b.register(t, fmt.Sprintf("a.abc.com/server%d", i), fmt.Sprintf("127.0.0.1:%d", i+1))
	}
	b.must(t, "sync")
	w := startWatch(t, b)
	unregister := func(from, to int) {
		for i := from; i < to; i++ {
			b.unregister(t, fmt.Sprintf("a.abc.com/server%d", i))
		}
	}
	unregister(3, 8)
	o := b.exits(t, 5, "sync")
	says(t, o.stderr, "held", "5 of 8 managed servers", "50%")
	w.untouched(t, "the removal of five of eight")
	b.must(t, "plan", "--max-removal", "70")

	b.register(t, "a.abc.com/server3", "127.0.0.1:4")
	b.must(t, "sync") // half of them
	b.inLine(t)
	for left := 4; left > 1; left-- {
		unregister(left-1, left)
		b.must(t, "sync")
		b.inLine(t)
	}
	if n := strings.Count(read(t, b.managedFile), "    server "); n != 1 {
		t.Errorf("%d servers are left, want 1", n)
	}
}

func TestSyncWithoutHAProxyWritesTheFileForItsStart(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBox(t, h)
		a := startHost(t, "a.abc.com")
		b.init(t)
		b.register(t, "a.abc.com/server1", a.addr)
		for range 2 {
			o := b.exits(t, 4, "sync")
			says(t, o.stderr, "the file is in line", "haproxy does not answer on "+b.runtimeSocket)
			b.managed(t, "a.abc.com server1="+a.addr)
		}
		b.start(t)
		b.serves(t, "a.abc.com", "", a)
		b.inLine(t)

		b.master.end(t) // the sockets are left
		moved := startHost(t, "a.abc.com, moved")
		b.register(t, "a.abc.com/server1", moved.addr)
		says(t, b.exits(t, 4, "sync").stderr, "the file is in line", "haproxy does not answer on "+b.runtimeSocket)
		b.start(t)
		b.serves(t, "a.abc.com", "", moved)
		b.inLine(t)
	})
}

// TestRefusedReloadKeepsTheOldWorkerAndTheOldFile has a listener of the operator's on an address in use, which haproxy -c
// does not see.
func TestRefusedReloadKeepsTheOldWorkerAndTheOldFile(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		c := startHost(t, "c.abc.com")
		taken := "\nfrontend taken\n    bind " + silence(t) + "\n"
		operator(t, b.baseFile, "\n# the statistics page\n", taken+"\n# the statistics page\n")
		b.register(t, "c.abc.com/server1", c.addr)
		before, worker := footprintOf(t, b.managedFile), b.generation(t).worker
		o := b.exits(t, 4, "sync")
		says(t, o.stderr, "refuses to reload", "the old worker stays in service")
		if h.can.ReloadReports { // 2.6 keeps the reason for its log
			says(t, o.stderr, "frontend taken", "cannot bind socket")
		}
		if now := footprintOf(t, b.managedFile); now.text != before.text || now.mode != before.mode {
			t.Errorf("the managed file is now\n%s", now.text)
		}
		if now := b.generation(t).worker; now != worker {
			t.Errorf("process %d serves, not %d", now, worker)
		}
		b.serves(t, "b.abc.com", "", b.b1)
		b.unknown(t, "c.abc.com")

		operator(t, b.baseFile, taken, "")
		b.must(t, "sync")
		b.serves(t, "c.abc.com", "", c)
		b.inLine(t)
	})
}

// TestModeOwnerAndLinkOfTheManagedFileStay goes both ways of writing it.
func TestModeOwnerAndLinkOfTheManagedFileStay(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"--rewrite"}} {
		t.Run("sync "+strings.Join(flags, " "), func(t *testing.T) {
			t.Parallel()
			b := newBox(t, firstHAProxy(t))
			b.init(t)
			file := b.dir + "/elsewhere.cfg"
			uid, gid := os.Geteuid(), os.Getegid()
			if uid == 0 {
				uid, gid = 65534, 65533
			}
			for _, err := range []error{
				os.Rename(b.managedFile, file), os.Symlink("elsewhere.cfg", b.managedFile), os.Chmod(file, 0o640), os.Chown(file, uid, gid),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			b.start(t)
			b.register(t, "a.abc.com/server1", "127.0.0.1:1")
			b.must(t, append([]string{"sync"}, flags...)...)
			b.managed(t, "a.abc.com server1=127.0.0.1:1")
			if to, err := os.Readlink(b.managedFile); err != nil || to != "elsewhere.cfg" {
				t.Errorf("the link is to %q: %v", to, err)
			}
			if got, want := ownership(t, file), fmt.Sprintf("-rw-r----- %d:%d", uid, gid); got != want {
				t.Errorf("the file is %s, want %s", got, want)
			}
			b.inLine(t)
		})
	}
}
