package etcd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/registrytest"
)

// A following is a Follow that runs until the test ends.
type following struct {
	client *Client
	mu     sync.Mutex
	told   []registry.Update
	lost   []error // in pairs: the first reason of an outage, and nil
	later  []error // the further reasons
	wake   chan struct{}
	slow   func(n int) // is called in the update with the number, if it is not nil
	stop   func()
}

func follow(t *testing.T, client *Client) *following {
	t.Helper()
	f := &following{client: client, wake: make(chan struct{}, 1)}
	f.start(t, func(ctx context.Context) error { return client.Follow(ctx, f.update, f.lose) })
	return f
}

// followQuickly retries after a short time.
func followQuickly(t *testing.T, client *Client) *following {
	t.Helper()
	f := &following{client: client, wake: make(chan struct{}, 1)}
	quick := client.follower(f.update, f.lose)
	quick.retry.InitialInterval, quick.retry.MaxInterval = time.Millisecond, 2*time.Millisecond
	f.start(t, quick.run)
	return f
}

func (f *following) start(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Follow returned %v, want the error of the context", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Follow does not return")
		}
	})
	t.Cleanup(f.stop)
}

func (f *following) update(u registry.Update) {
	f.mu.Lock()
	f.told = append(f.told, u)
	n := len(f.told)
	f.mu.Unlock()
	f.poke()
	if f.slow != nil {
		f.slow(n)
	}
}

func (f *following) lose(err error) {
	f.mu.Lock()
	if n := len(f.lost); n > 0 && f.lost[n-1] != nil && err != nil {
		f.later = append(f.later, err)
	} else {
		f.lost = append(f.lost, err)
	}
	f.mu.Unlock()
	f.poke()
}

func (f *following) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// until waits until so returns true for the updates and errors, and returns them.
func (f *following) until(t *testing.T, what string, so func(told []registry.Update, lost []error) bool) ([]registry.Update, []error) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		told, lost := f.all()
		if so(told, lost) {
			return told, lost
		}
		select {
		case <-f.wake:
		case <-late:
			have := "nothing"
			if len(told) > 0 {
				last := told[len(told)-1]
				have = fmt.Sprintf("%d updates, the last at %d with\n%s", len(told), last.Snapshot.Revision, registrytest.Describe(last.Snapshot.Domains, last.Snapshot.Problems))
			}
			t.Fatalf("%s: not so after a while, lost %v; have %s", what, lost, have)
		}
	}
}

// shows waits until the snapshot is the text, and returns all updates.
func (f *following) shows(t *testing.T, want string) []registry.Update {
	t.Helper()
	var have string
	told, _ := f.until(t, "want\n"+want, func(told []registry.Update, _ []error) bool {
		if len(told) == 0 {
			return false
		}
		s := told[len(told)-1].Snapshot
		have = strings.ReplaceAll(registrytest.Describe(s.Domains, s.Problems), f.client.conf.Prefix, "")
		return have == want
	})
	return told
}

// sameAsSnapshot waits until the last snapshot equals a full read of the registry.
func (f *following) sameAsSnapshot(t *testing.T) {
	t.Helper()
	want := snapshot(t, f.client)
	text := registrytest.Describe(want.Domains, want.Problems)
	f.until(t, fmt.Sprintf("want %d keys of cluster %x, and\n%s", want.Keys, want.ClusterID, text), func(told []registry.Update, _ []error) bool {
		if len(told) == 0 {
			return false
		}
		s := told[len(told)-1].Snapshot
		return s.Keys == want.Keys && s.ClusterID == want.ClusterID && registrytest.Describe(s.Domains, s.Problems) == text
	})
}

// all are the updates and errors so far.
func (f *following) all() ([]registry.Update, []error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.told), slices.Clone(f.lost)
}

func TestFollowTellsWhatIsThereAndThenWhatChanges(t *testing.T) {
	t.Parallel()
	at, prefix := started(t, etcds.plain), etcds.prefix()
	etcd := writer(t, at)
	put(t, etcd, prefix, `
		/a.com/s1/ip 10.0.0.1
		/a.com/s1/port 80
		/b.com/s1/ip 10.0.0.2
	`)
	f := follow(t, dial(t, Config{Endpoints: []string{at}, Prefix: prefix}))
	told := f.shows(t, "a.com\n  s1 10.0.0.1:80 weight=1 maxconn=0 backup=false ready\nb.com\n  s1 pending: no port\n")
	if len(told) != 1 || !told[0].All || told[0].Changed != nil || told[0].Snapshot.Keys != 3 {
		t.Errorf("have %+v, want one update of all", told)
	}
	put(t, etcd, prefix, "/b.com/s1/port 81\n")
	told = f.shows(t, "a.com\n  s1 10.0.0.1:80 weight=1 maxconn=0 backup=false ready\nb.com\n  s1 10.0.0.2:81 weight=1 maxconn=0 backup=false ready\n")
	if len(told) != 2 || told[1].All || !slices.Equal(told[1].Changed, []string{"b.com"}) || told[1].Snapshot.Keys != 4 {
		t.Errorf("have %+v, want another one of b.com", told)
	}
	put(t, etcd, prefix, "/c.com/s1/port x\n")
	mustPut(t, etcd, prefix, "itself")
	f.shows(t, `a.com
  s1 10.0.0.1:80 weight=1 maxconn=0 backup=false ready
b.com
  s1 10.0.0.2:81 weight=1 maxconn=0 backup=false ready
c.com
  s1 held
! 
    the key is the prefix itself: only keys below it mean something, delete it
! /c.com/s1/port
    port "x" is not a number of 1 to 65535
    holds c.com/s1
`)
	for _, key := range []string{prefix, prefix + "/a.com/s1/ip", prefix + "/a.com/s1/port", prefix + "/c.com/s1/port"} {
		if _, err := etcd.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	f.shows(t, "b.com\n  s1 10.0.0.2:81 weight=1 maxconn=0 backup=false ready\n")
	f.sameAsSnapshot(t)
}

func TestAKeyThatEtcdHasSeenPutAloneDoesNotWait(t *testing.T) {
	t.Parallel()
	at, prefix := started(t, etcds.plain), etcds.prefix()
	etcd := writer(t, at)
	for _, keys := range []string{"/a.com/s1/ip 10.0.0.1\n/a.com/s1/port 80\n", "/a.com/s1/port 81\n"} {
		put(t, etcd, prefix, keys)
	}
	f := follow(t, dial(t, Config{Endpoints: []string{at}, Prefix: prefix, Settle: time.Hour}))
	f.shows(t, "a.com\n  s1 10.0.0.1:81 weight=1 maxconn=0 backup=false ready\n")
	put(t, etcd, prefix, "/a.com/s1/port 82\n")
	f.shows(t, "a.com\n  s1 10.0.0.1:82 weight=1 maxconn=0 backup=false ready\n")
}

func TestABurstIsFewUpdatesAndMissesNothing(t *testing.T) {
	t.Parallel()
	at, prefix := started(t, etcds.plain), etcds.prefix()
	etcd := writer(t, at)
	client := dial(t, Config{Endpoints: []string{at}, Prefix: prefix})
	f := &following{client: client, wake: make(chan struct{}, 1)}
	written := make(chan struct{})
	f.slow = func(n int) { // as a caller that takes its time
		if n == 2 {
			<-written
		}
	}
	f.start(t, func(ctx context.Context) error { return client.Follow(ctx, f.update, f.lose) })
	f.shows(t, "")
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 125 {
				if _, err := etcd.Put(t.Context(), fmt.Sprintf("%s/www%d-%d.com/s/ip", prefix, w, i), "10.0.0.1"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(written)
	told, _ := f.until(t, "1000 domains", func(told []registry.Update, _ []error) bool {
		return len(told[len(told)-1].Snapshot.Domains) == 1000
	})
	var changed []string
	for _, u := range told {
		changed = append(changed, u.Changed...)
	}
	slices.Sort(changed)
	if n := len(slices.Compact(slices.Clone(changed))); n != 1000 || len(changed) != 1000 {
		t.Errorf("%d domains are named %d times, want 1000 once", n, len(changed))
	}
	if len(told) > 50 {
		t.Errorf("%d updates", len(told))
	}
}

func TestWhatIsWrittenInARowIsShownInThatOrder(t *testing.T) {
	t.Parallel()
	at, prefix := started(t, etcds.plain), etcds.prefix()
	etcd := writer(t, at)
	f := follow(t, dial(t, Config{Endpoints: []string{at}, Prefix: prefix, PageSize: 3}))
	f.shows(t, "")
	for i := range 100 {
		host := fmt.Sprintf("%s/a.com/s%d/", prefix, i%7)
		var err error
		if i%5 == 4 {
			_, err = etcd.Delete(t.Context(), host, clientv3.WithPrefix())
		} else {
			_, err = etcd.Txn(t.Context()).Then(clientv3.OpPut(host+"ip", "10.0.0.1"), clientv3.OpPut(host+"port", fmt.Sprint(i+1))).Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			f.client.Relist()
		}
	}
	f.sameAsSnapshot(t)
	told, _ := f.all()
	for i, u := range told[1:] {
		if u.Snapshot.Revision < told[i].Snapshot.Revision {
			t.Errorf("revision %d after %d", u.Snapshot.Revision, told[i].Snapshot.Revision)
		}
		if u.Snapshot.Keys%2 != 0 || u.Snapshot.Keys != 2*hostsIn(u.Snapshot) {
			t.Errorf("half of a revision: %s", registrytest.Describe(u.Snapshot.Domains, u.Snapshot.Problems))
		}
	}
}

func hostsIn(s registry.Snapshot) int {
	n := 0
	for _, d := range s.Domains {
		n += len(d.Hosts)
	}
	return n
}

func TestRelistTellsOnceMore(t *testing.T) {
	t.Parallel()
	at, prefix := started(t, etcds.plain), etcds.prefix()
	etcd := writer(t, at)
	put(t, etcd, prefix, "/a.com/s1/ip 10.0.0.1\n")
	f := follow(t, dial(t, Config{Endpoints: []string{at}, Prefix: prefix}))
	f.shows(t, "a.com\n  s1 pending: no port\n")
	for n := 2; n < 5; n++ {
		f.client.Relist()
		told, _ := f.until(t, "the listing", func(told []registry.Update, _ []error) bool { return len(told) == n })
		if u := told[n-1]; u.All || len(u.Changed) > 0 || u.Snapshot.Keys != 1 {
			t.Errorf("have %+v", u)
		}
	}
	put(t, etcd, prefix, "/a.com/s1/port 80\n")
	f.shows(t, "a.com\n  s1 10.0.0.1:80 weight=1 maxconn=0 backup=false ready\n")
	f.sameAsSnapshot(t)
}

// TestAHostWhoseLeaseEndsHasExpired retries: on a busy machine etcd may not answer within leaseTimeout whether the lease has
// ended, and then the host counts as one that left.
func TestAHostWhoseLeaseEndsHasExpired(t *testing.T) {
	t.Parallel()
	want, have := []string{"a.com/dies"}, []string(nil)
	for range 5 {
		if have = expires(t); slices.Equal(have, want) {
			return
		}
	}
	t.Errorf("have %q expired, want %q", have, want)
}

// expires returns which of three hosts expire: the lease of one ends, the keys of two are deleted.
func expires(t *testing.T) []string {
	t.Helper()
	at, prefix := started(t, etcds.plain), etcds.prefix()
	etcd := writer(t, at)
	register := func(host string, ttl int64) {
		t.Helper()
		lease, err := etcd.Grant(t.Context(), ttl)
		if err != nil {
			t.Fatal(err)
		}
		path := prefix + "/a.com/" + host + "/"
		_, err = etcd.Txn(t.Context()).Then(clientv3.OpPut(path+"ip", "10.0.0.1", clientv3.WithLease(lease.ID)),
			clientv3.OpPut(path+"port", "80", clientv3.WithLease(lease.ID))).Commit()
		if err != nil {
			t.Fatal(err)
		}
	}
	register("dies", 1)
	register("leaves", 60)
	put(t, etcd, prefix, "/a.com/plain/ip 10.0.0.1\n/a.com/plain/port 80\n")
	f := follow(t, dial(t, Config{Endpoints: []string{at}, Prefix: prefix}))
	f.until(t, "three hosts", func(told []registry.Update, _ []error) bool { return len(told) == 1 && hostsIn(told[0].Snapshot) == 3 })
	for _, host := range []string{"leaves", "plain"} {
		if _, err := etcd.Delete(t.Context(), prefix+"/a.com/"+host+"/", clientv3.WithPrefix()); err != nil {
			t.Fatal(err)
		}
	}
	told, _ := f.until(t, "no host", func(told []registry.Update, _ []error) bool { return told[len(told)-1].Snapshot.Keys == 0 })
	var expired []string
	for _, u := range told {
		expired = append(expired, u.Expired...)
	}
	return expired
}

func TestMegabytesAreFollowed(t *testing.T) {
	t.Parallel()
	s := server{at: closedPort(t)}
	s.start(t, filepath.Join(t.TempDir(), "megabytes"))
	etcd := writer(t, s.at)
	f := follow(t, dial(t, Config{Endpoints: []string{s.at}, Prefix: "/p"}))
	f.shows(t, "")
	for i := range 20 {
		mustPut(t, etcd, fmt.Sprintf("/p/a.com/x%02d/port", i), strings.Repeat("1", 1e6))
	}
	f.until(t, "20 held", func(told []registry.Update, _ []error) bool { return len(told[len(told)-1].Snapshot.Problems) == 20 })
	if _, err := etcd.Delete(t.Context(), "/p/", clientv3.WithPrefix()); err != nil { // 20 MB of values before
		t.Fatal(err)
	}
	told := f.shows(t, "")
	if n, last := countAll(told), told[len(told)-1]; n != 1 || last.Snapshot.Keys != 0 {
		t.Errorf("%d updates of all, the last with %d keys", n, last.Snapshot.Keys)
	}
	f.stop()
}
