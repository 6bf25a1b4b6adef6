package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// wrap puts a shell script in the place of the haproxy that validates: it runs the hook, and then the real haproxy -c.
func (b *box) wrap(t *testing.T, hook string) {
	t.Helper()
	path := filepath.Join(b.dir, "haproxy-wrapper")
	script := fmt.Sprintf("#!/bin/sh\ncd %s\ncase \" $* \" in *' -c '*)\n%s\nesac\nexec %s \"$@\"\n", b.dir, hook, b.haproxy.path)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	b.env = append(b.env, "HAPSYNC_HAPROXY_BIN="+path)
}

func TestEditMadeWhileTheFileIsWrittenIsKept(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"--rewrite"}} {
		t.Run("sync "+strings.Join(flags, " "), func(t *testing.T) {
			t.Parallel()
			b := startBox(t, firstHAProxy(t))
			a, c := startHost(t, "a.abc.com"), startHost(t, "c.abc.com")
			b.register(t, "a.abc.com/server1", a.addr)
			b.must(t, "sync")
			const line = "    http-request set-header X-Edited yes\n"
			b.wrap(t, "[ -e edited ] || { : > edited; printf '"+strings.TrimSuffix(line, "\n")+"\\n' >> "+b.managedFile+"; }")
			b.register(t, "c.abc.com/server1", c.addr)

			b.must(t, append([]string{"sync"}, flags...)...)

			if text := read(t, b.managedFile); strings.Count(text, line) != 1 {
				t.Errorf("the edit is lost:\n%s", text)
			}
			b.serves(t, "c.abc.com", "", c)
			b.inLine(t)
		})
	}
}

func TestEditsWithoutEndEndTheSyncAndAreKept(t *testing.T) {
	t.Parallel()
	b := startBox(t, firstHAProxy(t))
	b.register(t, "a.abc.com/server1", "127.0.0.1:1")
	b.must(t, "sync")
	b.wrap(t, "echo >> edits; echo '    # edit' >> "+b.managedFile)
	b.register(t, "c.abc.com/server1", "127.0.0.1:1")

	says(t, b.exits(t, 1, "sync").stderr, b.managedFile, "changed by someone else")

	if made, kept := len(read(t, b.dir+"/edits")), strings.Count(read(t, b.managedFile), "    # edit\n"); made == 0 || kept != made {
		t.Errorf("%d of %d edits are there", kept, made)
	}
	b.env = append(b.env, "HAPSYNC_HAPROXY_BIN="+b.haproxy.path)
	b.must(t, "sync")
	b.inLine(t)
}

func TestSecondSyncIsToldWhoIsAtWork(t *testing.T) {
	t.Parallel()
	b := startBox(t, firstHAProxy(t))
	b.register(t, "a.abc.com/server1", "127.0.0.1:1")
	if err := syscall.Mkfifo(b.dir+"/go", 0o600); err != nil {
		t.Fatal(err)
	}
	b.wrap(t, "[ -e waiting ] || { : > waiting; read word < go; }")
	t.Cleanup(func() { // nobody is left waiting
		if pipe, err := os.OpenFile(b.dir+"/go", os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			_, _ = pipe.WriteString("on\n")
			_ = pipe.Close()
		}
	})
	first := b.startHapsync(t, "sync")
	eventually(t, "the first sync validates", func() error {
		_, err := os.Stat(b.dir + "/waiting")
		return err
	})

	o := b.exits(t, 1, "sync")
	says(t, o.stderr, "another hapsync is at work", b.managedFile, fmt.Sprintf("process %d (hapsync)", first.Process.Pid))
	b.must(t, "plan")

	if err := os.WriteFile(b.dir+"/go", []byte("on\n"), 0); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Errorf("the first sync: %v", err)
	}
	b.managed(t, "a.abc.com server1=127.0.0.1:1")
	b.inLine(t)
}

func TestSyncsAtTheSameTimeEndInLine(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		c := startHost(t, "c.abc.com")
		b.register(t, "a.abc.com/server2", c.addr)
		b.register(t, "c.abc.com/server1", c.addr)
		const syncs = 6
		outcomes := make(chan outcome, syncs)
		for range syncs {
			go func() { outcomes <- b.hapsync(t, "sync") }()
		}
		done := 0
		for range syncs {
			switch o := <-outcomes; {
			case o.code == 0:
				done++
			case o.code != 1 || !strings.Contains(o.stderr, "another hapsync is at work"):
				t.Error(o)
			}
		}
		if done == 0 {
			t.Error("none of them did the work")
		}
		b.managed(t, "a.abc.com server1="+b.a1.addr+" server2="+c.addr, "b.abc.com server1="+b.b1.addr, "c.abc.com server1="+c.addr)
		b.serves(t, "c.abc.com", "", c)
		b.inLine(t)
	})
}
