package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// startConfd is a box whose one file is as confd writes it with the classic template, blank lines and all, with
// HAProxy running on it and the same hosts in the registry.
func startConfd(t *testing.T, h haproxy) abc {
	t.Helper()
	b := abc{
		box: newBox(t, h),
		a1:  startHost(t, "a.abc.com server1"),
		a2:  startHost(t, "a.abc.com server2"),
		b1:  startHost(t, "b.abc.com server1"),
	}
	b.runtimeSocket, b.masterSocket = filepath.Join(b.dir, "haproxy.sock"), filepath.Join(b.dir, "master.sock")
	b.files(b.baseFile, b.baseFile)
	text := strings.NewReplacer("@DIR@", b.dir, "@WEB@", b.web, "@STATS@", b.stats, "@A1@", b.a1.addr, "@A2@", b.a2.addr, "@B1@", b.b1.addr).
		Replace(read(t, "testdata/confd.cfg"))
	if err := os.WriteFile(b.baseFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	b.start(t)
	b.register(t, "a.abc.com/server1", b.a1.addr)
	b.register(t, "a.abc.com/server2", b.a2.addr)
	b.register(t, "b.abc.com/server1", b.b1.addr)
	return b
}

func TestConfdsFileIsTakenOverAsItIs(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startConfd(t, h)
		file, before := footprintOf(t, b.baseFile), b.generation(t)

		b.inLine(t)
		if o := b.must(t, "sync"); !strings.HasPrefix(o.stdout, "in line: ") {
			t.Errorf("not taken over as it is: %s", o)
		}
		if footprintOf(t, b.baseFile) != file {
			t.Error("the file was written")
		}

		moved := startHost(t, "a.abc.com server2, moved")
		b.register(t, "a.abc.com/server2", moved.addr)
		reloads(t, b.step(t), 0)
		b.serves(t, "a.abc.com", "server2", moved)
		b.notReloaded(t, before)
		want := strings.Replace(file.text, "server server2 "+b.a2.addr, "server server2 "+moved.addr, 1)
		if got := read(t, b.baseFile); got != want {
			t.Errorf("the file is\n%s\nwant one line changed:\n%s", got, want)
		}

		c1 := startHost(t, "c.abc.com server1")
		b.register(t, "c.abc.com/server1", c1.addr)
		reloads(t, b.step(t, "--master-socket", b.masterSocket), 1)
		b.serves(t, "c.abc.com", "", c1)
		b.reloadedOnce(t, before)
		added(t, want, read(t, b.baseFile),
			"acl is_c.abc.com hdr(host) -i c.abc.com",
			"use_backend c.abc.com_cluster if is_c.abc.com",
			"backend c.abc.com_cluster",
			"balance roundrobin",
			"cookie SERVERID insert indirect nocache",
			"server server1 "+c1.addr+" cookie server1 check",
		)
	})
}

// added fails the test unless just these lines came to a text, in this order. Blank lines do not count.
func added(t *testing.T, before, after string, lines ...string) {
	t.Helper()
	old := written(before)
	var came []string
	for _, l := range written(after) {
		if len(old) > 0 && old[0] == l {
			old = old[1:]
			continue
		}
		came = append(came, strings.TrimSpace(l))
	}
	if len(old) > 0 {
		t.Errorf("the line %q was lost or moved:\n%s", old[0], after)
	} else if !slices.Equal(came, lines) {
		t.Errorf("these lines came: %q, want %q", came, lines)
	}
}

// written are the lines of a text that are not blank.
func written(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
}
