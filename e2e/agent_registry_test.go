package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// A followed is a box with an agent that follows an etcd of its own over a wire.
type followed struct {
	*box
	etcd *ownEtcd
	wire *wire
	*agent
	a1, b1 *host
}

// startOverWire serves a.abc.com and b.abc.com from one server each.
func startOverWire(t *testing.T, flags ...string) followed {
	t.Helper()
	f := followed{box: startBox(t, latestHAProxy(t)), etcd: newEtcd(t), a1: startHost(t, "a1"), b1: startHost(t, "b1")}
	f.env = append(f.env, "HAPSYNC_ENDPOINTS="+f.etcd.listen.String())
	f.wire = startWire(t, f.etcd.listen.Host)
	f.putBoth(t)
	f.agent = f.startAgent(t, append([]string{"--endpoints", "http://" + f.wire.at}, flags...)...)
	f.ready(t)
	f.comes(t, "a.abc.com", "server1", f.a1)
	f.comes(t, "b.abc.com", "server1", f.b1)
	f.settles(t)
	return f
}

func (f followed) putBoth(t *testing.T) {
	t.Helper()
	f.etcd.put(t, f.box, addrOf(t, "a.abc.com/server1", f.a1.addr))
	f.etcd.put(t, f.box, addrOf(t, "b.abc.com/server1", f.b1.addr))
}

// anew stops etcd and starts it with an empty data directory; with another token, it is another cluster.
func (f followed) anew(t *testing.T, token string) {
	t.Helper()
	f.wire.cut()
	f.etcd.token = token
	f.etcd.stop()
	f.etcd.dir = t.TempDir()
	f.etcd.start(t)
	f.wire.mend()
}

func TestAgentMissesNothingThatIsCompactedWhileItsWatchIsCut(t *testing.T) {
	t.Parallel()
	f := startOverWire(t, "--resync", "1h")
	moved, fresh := startHost(t, "moved"), startHost(t, "fresh")
	file, before := footprintOf(t, f.managedFile), f.generation(t)
	l := startLoad(t, f.box, "b.abc.com")

	f.wire.cut()
	f.unready(t, "registry", f.wire.at)
	f.etcd.put(t, f.box, addrOf(t, "a.abc.com/server1", moved.addr))
	f.etcd.put(t, f.box, addrOf(t, "b.abc.com/server2", fresh.addr))
	f.etcd.put(t, f.box, addrOf(t, "gone.abc.com/server1", fresh.addr))
	deleted, err := f.etcd.client.Delete(t.Context(), f.prefix+"/gone.abc.com/", clientv3.WithPrefix())
	if err == nil {
		_, err = f.etcd.client.Compact(t.Context(), deleted.Header.Revision, clientv3.WithCompactPhysical())
	}
	if err != nil {
		t.Fatal(err)
	}
	f.serves(t, "a.abc.com", "server1", f.a1)
	if footprintOf(t, f.managedFile) != file {
		t.Errorf("the file was written:\n%s", read(t, f.managedFile))
	}

	f.wire.mend()
	f.comes(t, "a.abc.com", "server1", moved)
	f.comes(t, "b.abc.com", "server2", fresh)
	f.ready(t)
	f.settles(t)
	f.managed(t, "a.abc.com server1="+moved.addr, "b.abc.com server1="+f.b1.addr+" server2="+fresh.addr)
	f.takesServers(t, before)
	l.endsWithoutFailure(t)
}

func TestAgentHoldsAnotherClusterUntilItIsFilledOrConfirmed(t *testing.T) {
	t.Parallel()
	f := startOverWire(t)
	file, before := footprintOf(t, f.managedFile), f.generation(t)
	l := startLoad(t, f.box, "b.abc.com")
	isHeld := func(why string) {
		t.Helper()
		f.unready(t, "held", why)
		f.serves(t, "a.abc.com", "server1", f.a1)
		if footprintOf(t, f.managedFile) != file {
			t.Errorf("the file was written:\n%s", read(t, f.managedFile))
		}
		f.notReloaded(t, before)
	}

	f.anew(t, "second")
	isHeld("another cluster")
	f.putBoth(t)
	f.ready(t)
	f.settles(t)
	f.notReloaded(t, before)
	l.endsWithoutFailure(t)

	f.anew(t, "second")
	isHeld("etcd is back at revision") // 1, or 2 once the agent has written its report
	f.putBoth(t)
	f.ready(t)

	f.anew(t, "third")
	moved := startHost(t, "moved")
	f.etcd.put(t, f.box, addrOf(t, "a.abc.com/server1", moved.addr))
	isHeld("another cluster")
	f.must(t, "sync", "--allow-mass-removal")
	f.serves(t, "a.abc.com", "server1", moved)
	f.unknown(t, "b.abc.com")
	f.ready(t)
	f.etcd.put(t, f.box, addrOf(t, "a.abc.com/server1", f.a1.addr))
	f.comes(t, "a.abc.com", "server1", f.a1)
	f.settles(t)
}

// TestWaitDoesNotTakeTheRevisionOfAnotherClusterForApplied replaces etcd by one whose revisions begin at 1 again.
func TestWaitDoesNotTakeTheRevisionOfAnotherClusterForApplied(t *testing.T) {
	t.Parallel()
	f := startOverWire(t)
	for n := range 20 {
		f.etcd.put(t, f.box, map[string]string{"b.abc.com/server1/weight": fmt.Sprint(10 + n)})
	}
	f.reporting(t, 1)

	f.anew(t, "second")
	f.etcd.put(t, f.box, addrOf(t, "a.abc.com/server1", startHost(t, "moved").addr))
	f.unready(t, "held", "another cluster")
	eventually(t, "the agent reports to the new cluster", func() error {
		if o := f.must(t, "agents"); !strings.Contains(o.stdout, "another cluster") {
			return errors.New(o.stdout)
		}
		return nil
	})
	o := f.exits(t, 7, "maint", "--wait", "--wait-timeout", "3s", "a.abc.com/server1")
	says(t, o.stderr, "it holds its changes back: etcd is another cluster")
	f.serves(t, "a.abc.com", "server1", f.a1)
	if o := f.must(t, "agents", "-o", "json"); !strings.Contains(o.stdout, `"in_line": false`) || strings.Contains(o.stdout, `"lag_seconds": 0,`) {
		t.Errorf("it counts as in line:\n%s", o)
	}
	says(t, f.exits(t, 5, "status", "--listen", f.listen).stdout, "nothing of this registry applied yet")

	f.must(t, "sync", "--allow-mass-removal")
	f.ready(t)
	says(t, f.must(t, "ready", "--wait", "a.abc.com/server1").stdout, "applied by 1 agent")
	f.settles(t)
}

// TestSyncConfirmsAnotherClusterThatChangesAllTheTime has a writer that leaves no moment in which HAProxy has what the registry says.
func TestSyncConfirmsAnotherClusterThatChangesAllTheTime(t *testing.T) {
	t.Parallel()
	f := startOverWire(t)
	f.anew(t, "second")
	moved := startHost(t, "moved")
	f.etcd.put(t, f.box, addrOf(t, "a.abc.com/server1", moved.addr))
	f.etcd.put(t, f.box, addrOf(t, "b.abc.com/server1", f.b1.addr))
	f.unready(t, "held", "another cluster")

	ctx, stop := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			_, _ = f.etcd.client.Put(ctx, f.prefix+"/b.abc.com/server1/weight", fmt.Sprint(1+n%200))
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	defer writer.Wait()
	defer stop()
	f.must(t, "sync", "--allow-mass-removal")
	f.ready(t)
	f.serves(t, "a.abc.com", "server1", moved)
	f.logs(t, 0, "hapsync sync has confirmed the registry")
}

// secure gives etcd a root, and a reader of the box's prefix with a password; from then on it asks for both.
func (e *ownEtcd) secure(t *testing.T, b *box, password string) (root *clientv3.Client) {
	t.Helper()
	ctx := t.Context()
	for _, do := range []func() error{
		func() error { _, err := e.client.UserAdd(ctx, "root", "root"); return err },
		func() error { _, err := e.client.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := e.client.RoleAdd(ctx, "reader"); return err },
		func() error {
			read := clientv3.PermissionType(clientv3.PermRead)
			_, err := e.client.RoleGrantPermission(ctx, "reader", b.prefix+"/", clientv3.GetPrefixRangeEnd(b.prefix+"/"), read)
			return err
		},
		func() error { _, err := e.client.UserAdd(ctx, "reader", password); return err },
		func() error { _, err := e.client.UserGrantRole(ctx, "reader", "reader"); return err },
		func() error { _, err := e.client.AuthEnable(ctx); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	root, err := clientv3.New(clientv3.Config{Endpoints: []string{e.listen.Host}, Username: "root", Password: "root", Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// A guarded is a box with an agent whose etcd asks for a password.
type guarded struct {
	*box
	*agent
	etcd *ownEtcd
	file string // has the password
	a1   *host
}

func startGuarded(t *testing.T) guarded {
	t.Helper()
	g := guarded{box: startBox(t, latestHAProxy(t)), etcd: newEtcd(t), a1: startHost(t, "a1")}
	g.env = append(g.env, "HAPSYNC_ENDPOINTS="+g.etcd.listen.String())
	g.etcd.put(t, g.box, addrOf(t, "a.abc.com/server1", g.a1.addr))
	g.etcd.client = g.etcd.secure(t, g.box, "first")
	g.file = g.dir + "/password"
	write(t, g.file, "first\n")
	g.agent = g.startAgent(t, "--resync", "1s", "--user", "reader", "--password-file", g.file)
	g.ready(t)
	g.comes(t, "a.abc.com", "server1", g.a1)
	return g
}

func (g guarded) change(t *testing.T, password string) {
	t.Helper()
	if _, err := g.etcd.client.UserChangePassword(t.Context(), "reader", password); err != nil {
		t.Fatal(err)
	}
}

// TestAgentOutlivesARevokedTokenAndSaysThatItsPasswordIsWrong changes the password, which revokes what was given for it.
func TestAgentOutlivesARevokedTokenAndSaysThatItsPasswordIsWrong(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	moved := startHost(t, "moved")
	g.change(t, "first") // the token is void, the password is good
	g.etcd.put(t, g.box, addrOf(t, "a.abc.com/server1", moved.addr))
	g.comes(t, "a.abc.com", "server1", moved)
	g.ready(t)

	g.change(t, "second")
	g.unready(t, "registry", `it refuses user "reader" or the password`)
	g.serves(t, "a.abc.com", "server1", moved)
	g.change(t, "first")
	g.ready(t)
	g.etcd.put(t, g.box, addrOf(t, "a.abc.com/server1", g.a1.addr))
	g.comes(t, "a.abc.com", "server1", g.a1)

	if _, err := g.etcd.client.UserRevokeRole(t.Context(), "reader", "reader"); err != nil {
		t.Fatal(err)
	}
	g.unready(t, "registry", `user "reader" may not read `+g.prefix+"/")
	g.serves(t, "a.abc.com", "server1", g.a1)
	if _, err := g.etcd.client.UserGrantRole(t.Context(), "reader", "reader"); err != nil {
		t.Fatal(err)
	}
	g.ready(t)
}
