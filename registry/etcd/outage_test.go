package etcd

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// A wire is a connection to etcd that can be cut.
type wire struct {
	at, to string
	mu     sync.Mutex
	cut    bool
	conns  map[net.Conn]bool
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{at: l.Addr().String(), to: strings.TrimPrefix(to, "http://"), conns: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			running.Go(func() { w.carry(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.set(true)
		running.Wait()
	})
	return w
}

func (w *wire) carry(client net.Conn) {
	etcd, err := net.Dial("tcp", w.to)
	if err != nil || !w.keep(client, etcd) {
		_ = client.Close()
		return
	}
	var running sync.WaitGroup
	for _, pair := range [][2]net.Conn{{client, etcd}, {etcd, client}} {
		running.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_, _ = client.Close(), etcd.Close()
		})
	}
	running.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, client)
	delete(w.conns, etcd)
}

func (w *wire) keep(client, etcd net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		_ = etcd.Close()
		return false
	}
	w.conns[client], w.conns[etcd] = true, true
	return true
}

// set drops all connections, and refuses new ones while the wire is cut.
func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for conn := range w.conns {
		_ = conn.Close()
	}
}

// A server is an etcd that can be stopped and started again at its address. It takes some seconds to stop while there are
// watches.
type server struct {
	at   string
	stop func()
}

func (s *server) start(t *testing.T, dir string) {
	t.Helper()
	etcd, err := startEtcd(dir, url.URL{Scheme: "http", Host: s.at}, transport.TLSInfo{})
	if err != nil {
		t.Fatal(err)
	}
	s.stop = sync.OnceFunc(etcd.Close)
	t.Cleanup(s.stop)
}

// wantOutages checks that lost was called in pairs, first with the reason and then with nil.
func wantOutages(t *testing.T, lost []error, want ...string) {
	t.Helper()
	if len(lost) != 2*len(want) {
		t.Fatalf("have %v, want %d outages", lost, len(want))
	}
	for i, reason := range want {
		wantError(t, lost[2*i], reason)
		if !errors.Is(lost[2*i], registry.ErrUnavailable) || lost[2*i+1] != nil {
			t.Errorf("have %v, want ErrUnavailable and nil", lost[2*i:2*i+2])
		}
	}
}

// reason waits until etcd is away for a reason.
func (f *following) reason(t *testing.T, want string) {
	t.Helper()
	f.until(t, want, func([]registry.Update, []error) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return slices.ContainsFunc(append(f.lost, f.later...), func(err error) bool { return err != nil && strings.Contains(err.Error(), want) })
	})
}

func TestTheReasonOfAStoppedEtcdIsThatItIsNotThere(t *testing.T) {
	t.Parallel()
	s := server{at: closedPort(t)}
	s.start(t, filepath.Join(t.TempDir(), "stopped"))
	f := follow(t, dial(t, Config{Endpoints: []string{s.at}, Prefix: "/p", DialTimeout: time.Second}))
	f.shows(t, "")
	s.stop()
	f.reason(t, "connection refused: check that it runs there")
	f.stop()
	for _, err := range append(f.lost, f.later...) {
		if text := err.Error(); strings.Contains(text, "goaway") || strings.Count(text, `"`)%2 != 0 {
			t.Error(text)
		}
	}
}

const (
	oneHost = "a.com\n  s1 10.0.0.1:80 weight=1 maxconn=0 backup=false ready\n"
	another = "b.com\n  s1 pending: no port\n"
)

func TestFollowWaitsForAnEtcdThatIsNotThereYetAndOutlivesItsRestart(t *testing.T) {
	t.Parallel()
	s, dir := server{at: closedPort(t)}, filepath.Join(t.TempDir(), "restarted")
	f := follow(t, dial(t, Config{Endpoints: []string{s.at}, Prefix: "/p", DialTimeout: 300 * time.Millisecond}))
	f.until(t, "lost", func(_ []registry.Update, lost []error) bool { return len(lost) == 1 })
	s.start(t, dir)
	f.shows(t, "")
	etcd := writer(t, s.at)
	put(t, etcd, "/p", "/a.com/s1/ip 10.0.0.1\n/a.com/s1/port 80\n")
	f.shows(t, oneHost)

	s.stop()
	f.until(t, "lost again", func(_ []registry.Update, lost []error) bool { return len(lost) == 3 })
	s.start(t, dir)
	put(t, etcd, "/p", "/b.com/s1/ip 10.0.0.1\n")
	f.shows(t, oneHost+another)
	told, lost := f.all()
	wantOutages(t, lost, "connection refused: check that it runs there", "registry not reachable: etcd at http://"+s.at+": ")
	if n := countAll(told); n != 2 {
		t.Errorf("%d updates of all, want one at each start", n)
	}
	f.sameAsSnapshot(t)
	f.stop()
}

func countAll(told []registry.Update) (n int) {
	for _, u := range told {
		if u.All {
			n++
		}
	}
	return n
}

func TestAnEtcdThatIsCreatedAnewIsToldByItsClusterAndRevision(t *testing.T) {
	t.Parallel()
	s := server{at: closedPort(t)}
	s.start(t, filepath.Join(t.TempDir(), "first"))
	etcd := writer(t, s.at)
	put(t, etcd, "/p", "/a.com/s1/ip 10.0.0.1\n/a.com/s1/port 80\n")
	w := newWire(t, s.at)
	f := follow(t, dial(t, Config{Endpoints: []string{w.at}, Prefix: "/p", DialTimeout: 2 * time.Second}))
	told := f.shows(t, oneHost)
	before := told[len(told)-1].Snapshot
	w.set(true)
	s.stop()
	s.start(t, filepath.Join(t.TempDir(), "second"))
	w.set(false)
	told, _ = f.until(t, "another cluster", func(told []registry.Update, _ []error) bool {
		return told[len(told)-1].Snapshot.ClusterID != before.ClusterID
	})
	after := told[len(told)-1]
	if !after.All || len(after.Snapshot.Domains) != 0 || after.Snapshot.Revision >= before.Revision {
		t.Errorf("have %+v, want all of another cluster, with a lower revision than %d", after, before.Revision)
	}
	put(t, writer(t, s.at), "/p", "/b.com/s1/ip 10.0.0.1\n")
	f.shows(t, another)
	f.sameAsSnapshot(t)
	f.stop()
}

func TestWhatIsCompactedWhileTheWatchIsCutIsNotMissed(t *testing.T) {
	t.Parallel()
	at, prefix := started(t, etcds.other), etcds.prefix()
	etcd, w := writer(t, at), newWire(t, at)
	put(t, etcd, prefix, "/a.com/s1/ip 10.0.0.1\n/gone.com/s1/ip 10.0.0.1\n")
	f := follow(t, dial(t, Config{Endpoints: []string{w.at}, Prefix: prefix, DialTimeout: 300 * time.Millisecond}))
	f.shows(t, "a.com\n  s1 pending: no port\ngone.com\n  s1 pending: no port\n")
	w.set(true)
	if _, err := etcd.Delete(t.Context(), prefix+"/gone.com/s1/ip"); err != nil {
		t.Fatal(err)
	}
	put(t, etcd, prefix, "/b.com/s1/ip 10.0.0.1\n/a.com/s1/port 80\n")
	compact(t, etcd)
	f.until(t, "lost", func(_ []registry.Update, lost []error) bool { return len(lost) == 1 })
	w.set(false)
	told := f.shows(t, oneHost+another)
	if last := told[len(told)-1]; !last.All {
		t.Errorf("have %+v, want all", last)
	}
	_, lost := f.all()
	wantOutages(t, lost, "registry not reachable: etcd at http://"+w.at+": ")
}

// compact compacts everything, unless another test has just done so.
func compact(t *testing.T, etcd *clientv3.Client) {
	t.Helper()
	now, err := etcd.Get(t.Context(), "x")
	if err == nil {
		_, err = etcd.Compact(t.Context(), now.Header.Revision)
	}
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		t.Fatal(err)
	}
}

func TestWhatIsCompactedBeforeTheWatchBeginsIsNotMissed(t *testing.T) {
	t.Parallel()
	at, prefix := started(t, etcds.other), etcds.prefix()
	etcd := writer(t, at)
	client := dial(t, Config{Endpoints: []string{at}, Prefix: prefix})
	kv := &hookedKV{hook: func(context.Context, int) error { return nil }}
	kv.seen = func(*clientv3.GetResponse) {
		if kv.reads == 2 { // the last one of the listing
			put(t, etcd, prefix, "/a.com/s1/ip 10.0.0.1\n/a.com/s1/port 80\n/a.com/s1/weight 1\n")
			compact(t, etcd)
		}
	}
	client.wrapped = kv.on
	f := follow(t, client)
	f.shows(t, strings.TrimSuffix(oneHost, "\n")+" weight set\n")
	if _, lost := f.all(); len(lost) != 0 {
		t.Errorf("lost: %v", lost)
	}
}

func TestWhatIsWrittenBetweenTheListingAndTheWatchIsNotMissed(t *testing.T) {
	t.Parallel()
	s := server{at: closedPort(t)}
	s.start(t, filepath.Join(t.TempDir(), "alone")) // nobody else moves its revision
	etcd := writer(t, s.at)
	client := dial(t, Config{Endpoints: []string{s.at}, Prefix: "/p"})
	kv := &hookedKV{hook: func(context.Context, int) error { return nil }}
	kv.seen = func(*clientv3.GetResponse) {
		if kv.reads != 2 { // the last one of the listing
			return
		}
		if _, err := etcd.Txn(t.Context()).Then(clientv3.OpPut("/p/b.com/s1/ip", "10.0.0.1"), clientv3.OpPut("/p", "itself")).Commit(); err != nil {
			t.Error(err)
		}
	}
	client.wrapped = kv.on
	f := follow(t, client)
	told := f.shows(t, another+"! \n    the key is the prefix itself: only keys below it mean something, delete it\n")
	if n := countAll(told); n != 1 {
		t.Errorf("%d updates of all", n)
	}
	f.stop()
}

func TestATokenThatEtcdRevokesIsRenewedAndAWrongPasswordIsTold(t *testing.T) {
	t.Parallel()
	s := server{at: closedPort(t)}
	s.start(t, filepath.Join(t.TempDir(), "auth"))
	if err := enableAuth(s.at); err != nil {
		t.Fatal(err)
	}
	root := dialRoot(t, s.at)
	password := func(text string) {
		t.Helper()
		if _, err := root.UserChangePassword(t.Context(), "reader", text); err != nil { // revokes its tokens
			t.Fatal(err)
		}
	}
	want := "a.abc.com\n  server1 10.0.0.1:10000 weight=1 maxconn=0 backup=false ready\n"
	w := newWire(t, s.at)
	f := followQuickly(t, dial(t, Config{Endpoints: []string{w.at}, User: "reader:s:cret"}))
	f.shows(t, want)
	for range 3 {
		before, _ := f.all()
		password("s:cret")
		f.client.Relist()
		before, _ = f.until(t, "read again", func(told []registry.Update, _ []error) bool { return len(told) == len(before)+1 })
		password("s:cret")
		w.set(false)
		f.until(t, "watched again", func(told []registry.Update, _ []error) bool { return countAll(told) == countAll(before)+1 })
	}
	if _, err := root.Put(t.Context(), "/services/web/a.abc.com/server1/weight", "7"); err != nil {
		t.Fatal(err)
	}
	f.shows(t, strings.Replace(want, "weight=1", "weight=7", 1))
	_, before := f.all()
	password("other")
	f.client.Relist()
	f.until(t, "lost", func(_ []registry.Update, lost []error) bool { return len(lost) == len(before)+1 })
	password("s:cret")
	_, lost := f.until(t, "found", func(_ []registry.Update, lost []error) bool { return len(lost) == len(before)+2 })
	wantOutages(t, lost[len(before):], `it refuses user "reader" or the password`)
	f.stop()
}

func dialRoot(t *testing.T, at string) *clientv3.Client {
	t.Helper()
	root, err := clientv3.New(clientv3.Config{Endpoints: []string{at}, Username: "root", Password: "root-secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func TestAMemberThatLosesItsLeaderIsLost(t *testing.T) {
	t.Parallel()
	first, stopOther := startPair(t)
	f := follow(t, dial(t, Config{Endpoints: []string{first.Clients[0].Addr().String()}, DialTimeout: time.Second}))
	f.shows(t, "")
	stopOther()
	_, lost := f.until(t, "lost", func(_ []registry.Update, lost []error) bool { return len(lost) == 1 })
	wantError(t, lost[0], "it has no leader: check that more than half of its members run")
}

func TestAMemberThatIsAwayIsLeftForAnother(t *testing.T) {
	t.Parallel()
	at, prefix := started(t, etcds.plain), etcds.prefix()
	etcd := writer(t, at)
	wires := []*wire{newWire(t, at), newWire(t, at)}
	put(t, etcd, prefix, "/a.com/s1/ip 10.0.0.1\n/a.com/s1/port 80\n")
	f := follow(t, dial(t, Config{Endpoints: []string{wires[0].at, wires[1].at}, Prefix: prefix}))
	f.shows(t, oneHost)
	wires[0].set(true)
	wires[1].set(true)
	wires[1].set(false)
	put(t, etcd, prefix, "/b.com/s1/ip 10.0.0.1\n")
	f.shows(t, oneHost+another)
	wires[0].set(false)
	wires[1].set(true)
	put(t, etcd, prefix, "/b.com/s1/port 81\n")
	f.shows(t, oneHost+"b.com\n  s1 10.0.0.1:81 weight=1 maxconn=0 backup=false ready\n")
	if _, lost := f.all(); len(lost) != 0 {
		t.Errorf("lost: %v", lost)
	}
}
