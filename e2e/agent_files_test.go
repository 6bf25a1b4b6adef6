package e2e

import (
	"os"
	"testing"
)

// TestAgentOutlivesAFullDisk has nothing left on the disk of the managed file; for a plain user, it cannot be written.
func TestAgentOutlivesAFullDisk(t *testing.T) {
	t.Parallel()
	d := newDisk(t, newBox(t, latestHAProxy(t)))
	a1, moved, c := startHost(t, "a1"), startHost(t, "moved"), startHost(t, "c")
	d.register(t, "a.abc.com/server1", a1.addr)
	a := d.startAgent(t)
	a.ready(t)
	d.comes(t, "a.abc.com", "", a1)
	d.settles(t)
	file, before := footprintOf(t, d.managedFile), d.generation(t)
	l := startLoad(t, d.box, "a.abc.com")

	full, makeRoom := "no space left on device", func() { d.writable(t, true) }
	if d.mounted {
		makeRoom = d.fill(t, 0)
	} else {
		full = "permission denied"
		d.writable(t, false)
	}
	d.txn(t, addrOf(t, "c.abc.com/server1", c.addr))
	a.unready(t, "the last pass failed", d.dir, full)
	d.txn(t, addrOf(t, "a.abc.com/server2", moved.addr))
	l.goesOn(t)
	d.unknown(t, "c.abc.com")
	if now := footprintOf(t, d.managedFile); now != file {
		t.Errorf("the file was written:\n%s", now.text)
	}
	d.notReloaded(t, before)

	makeRoom()
	d.comes(t, "c.abc.com", "", c)
	d.comes(t, "a.abc.com", "server2", moved)
	a.ready(t)
	d.settles(t)
	d.managed(t, "a.abc.com server1="+a1.addr+" server2="+moved.addr, "c.abc.com server1="+c.addr)
	l.endsWithoutFailure(t)
}

// TestAgentOutlivesAValidationThatHangs has haproxy -c wait for as long as a file is there.
func TestAgentOutlivesAValidationThatHangs(t *testing.T) {
	t.Parallel()
	b := startABC(t, latestHAProxy(t))
	b.wrap(t, "if [ -e hang ]; then : > hanging; while [ -e hang ]; do sleep 0.05; done; fi")
	a := b.startAgent(t)
	a.ready(t)
	c, moved := startHost(t, "c.abc.com"), startHost(t, "moved")
	file, before := footprintOf(t, b.managedFile), b.generation(t)
	l := startLoad(t, b.box, "b.abc.com")

	write(t, b.dir+"/hang", "")
	b.txn(t, addrOf(t, "c.abc.com/server1", c.addr))
	eventually(t, "haproxy -c hangs", func() error {
		_, err := os.Stat(b.dir + "/hanging")
		return err
	})
	says(t, b.exits(t, 1, "sync").stderr, "another hapsync is at work", b.managedFile)
	b.txn(t, addrOf(t, "a.abc.com/server1", moved.addr))
	for _, path := range []string{"/healthz", "/readyz", "/status", "/metrics"} {
		if _, err := a.get(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	l.goesOn(t)
	if footprintOf(t, b.managedFile) != file {
		t.Errorf("the file was written:\n%s", read(t, b.managedFile))
	}
	b.notReloaded(t, before)

	if err := os.Remove(b.dir + "/hang"); err != nil {
		t.Fatal(err)
	}
	b.comes(t, "c.abc.com", "", c)
	b.comes(t, "a.abc.com", "server1", moved)
	a.ready(t)
	b.settles(t)
	l.endsWithoutFailure(t)
}
