package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A lane moves the server of b.abc.com to and fro between two hosts.
type lane struct {
	abc
	hosts [2]*host
	moves int
}

func newLane(t *testing.T, b abc) *lane {
	return &lane{abc: b, hosts: [2]*host{b.b1, startHost(t, "other")}}
}

// move is how long a move takes, from the write until the host answers. In these tests it comes before what the other lane waits
// for, which a test ends only after it; how quick it is, the benchmark "host moved beside a new domain" shows.
func (l *lane) move(t *testing.T) time.Duration {
	t.Helper()
	l.moves++
	to := l.hosts[l.moves%2]
	began := time.Now()
	l.txn(t, addrOf(t, "b.abc.com/server1", to.addr))
	l.comes(t, "b.abc.com", "server1", to)
	return time.Since(began)
}

func (l *lane) median(t *testing.T, moves int) time.Duration {
	t.Helper()
	took := make([]time.Duration, moves)
	for i := range took {
		took[i] = l.move(t)
	}
	slices.Sort(took)
	return took[moves/2]
}

func TestAHostMovesPromptlyWhileDomainsAreAdded(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a := startFollowed(t, h, "--reload-interval", "100ms")
		l := newLane(t, b)
		quiet := l.median(t, 9)
		c := startHost(t, "new")
		busy := make([]time.Duration, 0, 9)
		for n := range cap(busy) {
			b.txn(t, addrOf(t, fmt.Sprintf("new%d.abc.com/server1", n), c.addr))
			busy = append(busy, l.move(t))
		}
		slices.Sort(busy)
		t.Logf("a host moves in %s beside new domains, in %s without", busy[len(busy)/2], quiet)
		for n := range cap(busy) {
			b.comes(t, fmt.Sprintf("new%d.abc.com", n), "", c)
		}
		a.ready(t)
		b.settles(t)
	})
}

// hangable is a haproxy whose -c does not answer while there is a file.
func (b *box) hangable(t *testing.T) (binary, hang string) {
	t.Helper()
	hang = filepath.Join(b.dir, "hang")
	binary = filepath.Join(b.dir, "hangable")
	script := fmt.Sprintf("#!/bin/sh\ncase \" $* \" in *' -c '*) while [ -e %s ]; do sleep 0.1; done ;; esac\nexec %s \"$@\"\n", hang, b.haproxy.path)
	if err := os.WriteFile(binary, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return binary, hang
}

func TestAHostMovesPromptlyWhileHaproxyCHangs(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		binary, hang := b.hangable(t)
		a := b.startAgent(t, "--haproxy-bin", binary)
		a.ready(t)
		l := newLane(t, b)
		l.move(t)
		if err := os.WriteFile(hang, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		c := startHost(t, "new")
		b.txn(t, addrOf(t, "new.abc.com/server1", c.addr))
		l.median(t, 5)
		b.unknown(t, "new.abc.com")
		if err := os.Remove(hang); err != nil {
			t.Fatal(err)
		}
		b.comes(t, "new.abc.com", "", c)
		a.ready(t)
		b.settles(t)
	})
}

func TestAHostMovesPromptlyAndIntoTheFileWhileAReloadIsRefused(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a := startFollowed(t, h)
		l := newLane(t, b)
		l.move(t)
		repaired := b.unloadable(t)
		c := startHost(t, "new")
		b.txn(t, addrOf(t, "new.abc.com/server1", c.addr))
		a.unready(t, "refuses to reload", "the old worker stays in service")
		l.median(t, 3)
		now := l.hosts[l.moves%2]
		eventually(t, "the file has the new address", func() error {
			if text := read(t, b.managedFile); !containsAll(text, []string{"server server1 " + now.addr}) || containsAll(text, []string{"new.abc.com"}) {
				return fmt.Errorf("it is\n%s", text)
			}
			return nil
		})
		repaired()
		b.comes(t, "new.abc.com", "", c)
		a.ready(t)
		b.settles(t)
	})
}

// TestHostsMoveWhileADomainCannotBeRecorded has a disk with no room for the record of a domain that comes by commands.
func TestHostsMoveWhileADomainCannotBeRecorded(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBox(t, h)
		b.env = append(b.env, "HAPSYNC_DYNAMIC_DOMAINS=auto")
		d := newDisk(t, b)
		if !d.mounted {
			t.Skip("only root can mount a small disk")
		}
		one, two, moved := startHost(t, "one"), startHost(t, "two"), startHost(t, "moved")
		d.register(t, "a.abc.com/server1", one.addr)
		d.register(t, "b.abc.com/server1", one.addr)
		d.register(t, "b.abc.com/server2", two.addr)
		a := d.startAgent(t)
		a.ready(t)
		d.settles(t)
		makeRoom := d.fill(t, 0)
		d.txn(t, addrOf(t, "new.abc.com/server1", two.addr))
		a.unready(t, "no space left on device")
		d.txn(t, addrOf(t, "a.abc.com/server1", moved.addr))
		d.txn(t, nil, "b.abc.com/server1/")
		d.comes(t, "a.abc.com", "", moved)
		d.comes(t, "b.abc.com", "server1", two)
		makeRoom()
		d.comes(t, "new.abc.com", "", two)
		a.ready(t)
		d.settles(t)
	})
}

func TestAHostMovesPromptlyWhileTheDiskIsFull(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		d := newDisk(t, newBox(t, h))
		if !d.mounted {
			t.Skip("only root can mount a small disk")
		}
		b := abc{box: d.box, b1: startHost(t, "b1")}
		d.register(t, "b.abc.com/server1", b.b1.addr)
		a := d.startAgent(t)
		a.ready(t)
		l := newLane(t, b)
		l.move(t)
		d.settles(t)
		makeRoom := d.fill(t, 0)
		c := startHost(t, "new")
		d.txn(t, addrOf(t, "new.abc.com/server1", c.addr))
		a.unready(t, "no space left on device")
		l.median(t, 3)
		makeRoom()
		d.comes(t, "new.abc.com", "", c)
		a.ready(t)
		d.settles(t)
	})
}
