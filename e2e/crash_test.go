package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A crashBox goes back and forth between two configurations: a host moves, a host goes, a domain comes; and back.
type crashBox struct {
	abc
	moved, fresh *host
	trap         trap
	files        []string // all that is there when hapsync does not run
}

func startCrashBox(t *testing.T, h haproxy, env ...string) *crashBox {
	t.Helper()
	c := &crashBox{abc: startABC(t, h, env...), moved: startHost(t, "a.abc.com server1, moved"), fresh: startHost(t, "new server1")}
	c.env = append(c.env, "TMPDIR="+filepath.Join(c.dir, "tmp"))
	if err := os.Mkdir(filepath.Join(c.dir, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	return c
}

// A side is one of the two configurations.
type side struct {
	a      []*host // of a.abc.com: server1, and server2 where there is one
	domain string  // the new one; empty where there is none
}

// sides are the two; each domain that comes is another one, so that it needs a reload.
func (c *crashBox) sides(n int) (old, next side) {
	return side{a: []*host{c.a1, c.a2}}, side{a: []*host{c.moved}, domain: fmt.Sprintf("c%d.abc.com", n)}
}

// register makes etcd say what the side says, where it said from.
func (c *crashBox) register(t *testing.T, from, to side) {
	t.Helper()
	c.box.register(t, "a.abc.com/server1", to.a[0].addr)
	switch {
	case len(to.a) == 2:
		c.box.register(t, "a.abc.com/server2", to.a[1].addr)
		c.unregister(t, from.domain)
	default:
		c.unregister(t, "a.abc.com/server2")
		c.box.register(t, to.domain+"/server1", c.fresh.addr)
	}
}

// domains are what the managed file has of a side.
func (c *crashBox) domains(s side) []string {
	a := "a.abc.com"
	for i, h := range s.a {
		a += fmt.Sprintf(" server%d=%s", i+1, h.addr)
	}
	all := []string{a, "b.abc.com server1=" + c.b1.addr}
	if s.domain != "" {
		all = append(all, s.domain+" server1="+c.fresh.addr)
	}
	return all
}

// eitherWay fails the test unless HAProxy serves what one of the two sides says, and accepts the file.
func (c *crashBox) eitherWay(t *testing.T, old, next side) {
	t.Helper()
	check := exec.CommandContext(t.Context(), c.haproxy.path, "-c", "-f", c.baseFile, "-f", c.managedFile)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("haproxy -c refuses the file: %v\n%s", err, out)
	}
	hosts := slices.Concat(old.a, next.a)
	if a := c.ask(t, "a.abc.com", ""); a.status != http.StatusOK || !slices.ContainsFunc(hosts, func(h *host) bool { return h.name == a.body }) {
		t.Errorf("a.abc.com: got %s", a)
	}
	c.serves(t, "b.abc.com", "", c.b1)
	if a := c.ask(t, old.domain+next.domain, ""); a.body != c.fresh.name && a.status != http.StatusServiceUnavailable {
		t.Errorf("%s: got %s", old.domain+next.domain, a)
	}
}

// completes has the next sync complete the work, and one more find nothing to do.
func (c *crashBox) completes(t *testing.T, to side) (text string) {
	t.Helper()
	c.must(t, "sync")
	c.managed(t, c.domains(to)...)
	for i, h := range to.a {
		eventually(t, "a.abc.com is served by "+h.name, func() error { // once HAProxy has checked it
			a, err := get(c.web, "a.abc.com", fmt.Sprintf("server%d", i+1))
			if err == nil && a.body != h.name {
				err = fmt.Errorf("got %s", a)
			}
			return err
		})
	}
	c.serves(t, "b.abc.com", "", c.b1)
	if to.domain != "" {
		c.serves(t, to.domain, "", c.fresh)
	}
	c.tidy(t)
	file, before := footprintOf(t, c.managedFile), c.generation(t)
	if o := c.must(t, "sync"); !strings.HasPrefix(o.stdout, "in line: ") || footprintOf(t, c.managedFile) != file {
		t.Errorf("still something to do: %s", o)
	}
	c.notReloaded(t, before)
	return file.text
}

// tidy fails the test where a killed hapsync has left anything, but for hidden files beside the managed one: they always
// have the same names, and the next one that writes them starts again.
func (c *crashBox) tidy(t *testing.T) {
	t.Helper()
	hidden := []string{
		".hapsync.cfg.added", ".hapsync.cfg.added.new", ".hapsync.cfg.domains", ".hapsync.cfg.domains.lock", ".hapsync.cfg.domains.new", ".hapsync.cfg.journal", ".hapsync.cfg.keyed", ".hapsync.cfg.keyed.new",
		".hapsync.cfg.lock", ".hapsync.cfg.loaded", ".hapsync.cfg.loaded.new", ".hapsync.cfg.new", ".hapsync.cfg.transaction", ".hapsync.domains.map.new", ".hapsync.state.new",
	}
	var found []string
	for _, dir := range []string{c.dir, filepath.Join(c.dir, "tmp")} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !slices.Contains(hidden, e.Name()) {
				found = append(found, e.Name())
			}
		}
	}
	if c.files == nil {
		c.files = found
	}
	if !slices.Equal(found, c.files) {
		t.Errorf("files: %q, want %q", found, c.files)
	}
}

// survives kills a sync at its moments, there and back, from the first in steps, until it ends before its moment comes.
// Unless everything is tested, it is every tenth of these moments.
func (c *crashBox) survives(t *testing.T, first, step int) {
	t.Helper()
	const most = 150
	text := c.completes(t, side{a: []*host{c.a1, c.a2}})
	kills := 0
	step *= often(1, 10)
	for moment, killed := first, true; killed; moment += step {
		old, next := c.sides(moment)
		killed = false
		for _, way := range [][2]side{{old, next}, {next, old}} {
			from, to := way[0], way[1]
			c.register(t, from, to)
			if c.trap.set(t, c.box, moment, "sync") {
				killed = true
				kills++
			}
			c.eitherWay(t, from, to)
			before, after := text, read(t, c.managedFile)
			text = c.completes(t, to)
			if after != before && after != text {
				t.Errorf("the file was neither the old one nor the new one:\n%s", after)
			}
		}
		if t.Failed() || moment > most {
			t.Fatalf("after a kill at moment %d of a sync", moment)
		}
	}
	if kills < often(10, 2) {
		t.Errorf("only %d syncs were killed: the trap is blind", kills)
	}
	t.Logf("killed %d syncs", kills)
}

func TestSyncThatIsKilledBetweenTwoCommandsIsCompletedByTheNext(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		c := startCrashBox(t, h)
		c.env = append(c.env,
			"HAPSYNC_RUNTIME_SOCKET="+c.trap.onSocket(t, c.dir, c.runtimeSocket),
			"HAPSYNC_MASTER_SOCKET="+c.trap.onSocket(t, c.dir, c.masterSocket))
		switch { // versions that differ little share the moments
		case h.version >= 304:
			c.survives(t, 2, 2)
		case h.version >= 302:
			c.survives(t, 1, 2)
		default:
			c.survives(t, 1, 1)
		}
	})
}

func TestSyncThatIsKilledWhileItWritesFilesIsCompletedByTheNext(t *testing.T) {
	t.Parallel()
	for _, routing := range []string{"acl", "map"} {
		t.Run(routing, func(t *testing.T) {
			t.Parallel()
			c := startCrashBox(t, firstHAProxy(t), "HAPSYNC_ROUTING="+routing)
			c.trap.onFiles(t, c.dir, filepath.Join(c.dir, "tmp"))
			c.survives(t, 1, 1)
		})
	}
}

// TestHAProxyStartsWithWhatAKilledSyncHasLeftOfTheMapFile kills a sync at its moments, has HAProxy start again from the files as they
// are then, and lets the next sync complete the work: the routing is switched there and back, and a domain comes and goes.
func TestHAProxyStartsWithWhatAKilledSyncHasLeftOfTheMapFile(t *testing.T) {
	t.Parallel()
	c := startCrashBox(t, firstHAProxy(t), "HAPSYNC_ROUTING=map")
	c.trap.onFiles(t, c.dir, filepath.Join(c.dir, "tmp"))
	kills := 0
	for moment, killed := 1, true; killed; moment += often(1, 7) {
		killed = false
		domain := fmt.Sprintf("c%d.abc.com", moment)
		for _, step := range []func(){
			func() { c.env = append(c.env, "HAPSYNC_ROUTING=acl") },
			func() { c.env = append(c.env, "HAPSYNC_ROUTING=map") },
			func() { c.box.register(t, domain+"/server1", c.fresh.addr) },
			func() { c.unregister(t, domain) },
		} {
			step()
			if c.trap.set(t, c.box, moment, "sync") {
				killed = true
				kills++
			}
			c.master.end(t)
			c.start(t)
			c.serves(t, "a.abc.com", "server1", c.a1)
			c.serves(t, "b.abc.com", "", c.b1)
			if a := c.ask(t, domain, ""); a.body != c.fresh.name && a.status != http.StatusServiceUnavailable {
				t.Errorf("%s: got %s", domain, a)
			}
			c.must(t, "sync")
			c.inLine(t)
			c.serves(t, "b.abc.com", "", c.b1)
			if t.Failed() {
				t.Fatalf("after a kill at moment %d", moment)
			}
		}
		c.mapped(t, "a.abc.com", "b.abc.com")
	}
	if kills < often(20, 5) {
		t.Errorf("only %d syncs were killed: the trap is blind", kills)
	}
	t.Logf("killed %d syncs", kills)
}

// TestSyncThatIsKilledBeforeItsReloadIsReloadedByTheNext changes what a process does not tell of itself, and has a worker
// that hapsync has not seen before.
func TestSyncThatIsKilledBeforeItsReloadIsReloadedByTheNext(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		var master trap
		b.env = append(b.env, "HAPSYNC_MASTER_SOCKET="+master.onSocket(t, b.dir, b.masterSocket))
		b.reload(t)
		b.hasOneWorker(t)
		before := b.generation(t)
		b.put(t, "b.abc.com/check", "/health")

		if !master.set(t, b.box, 1, "sync") {
			t.Fatal("the sync has ended without a word to the master")
		}

		says(t, read(t, b.managedFile), "http-check send", "/health")
		b.notReloaded(t, before)
		b.must(t, "sync")
		b.reloadedOnce(t, before)
		b.serves(t, "b.abc.com", "", b.b1)
		b.inLine(t)
	})
}
