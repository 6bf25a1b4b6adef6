package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A following is a Follow that runs until the test ends.
type following struct {
	client *Client
	mu     sync.Mutex
	told   []Update
	lost   []error
	wake   chan struct{}
	stop   func()
}

// follow starts a Follow. slow is called in each update, if it is not nil.
func follow(t *testing.T, client *Client, slow func(Update)) *following {
	t.Helper()
	f := &following{client: client, wake: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- client.Follow(ctx, func(u Update) { f.update(u, slow) }, f.lose) }()
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
	return f
}

func (f *following) update(u Update, slow func(Update)) {
	f.mu.Lock()
	f.told = append(f.told, u)
	f.mu.Unlock()
	f.poke()
	if slow != nil {
		slow(u)
	}
}

func (f *following) lose(err error) {
	f.mu.Lock()
	f.lost = append(f.lost, err)
	f.mu.Unlock()
	f.poke()
}

func (f *following) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// until waits until what was told is so, and returns it.
func (f *following) until(t *testing.T, what string, so func(told []Update, lost []error) bool) ([]Update, []error) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		f.mu.Lock()
		told, lost := slices.Clone(f.told), slices.Clone(f.lost)
		f.mu.Unlock()
		if so(told, lost) {
			return told, lost
		}
		select {
		case <-f.wake:
		case <-late:
			have := "nothing"
			if len(told) > 0 {
				last := told[len(told)-1]
				have = fmt.Sprintf("%d updates, the last at %d with\n%s", len(told), last.Snapshot.Revision, describe(last.Snapshot.Domains, last.Snapshot.Problems))
			}
			t.Fatalf("%s: not so after a while, lost %v; have %s", what, lost, have)
		}
	}
}

// shows waits until the snapshot is the text, and returns all that was told.
func (f *following) shows(t *testing.T, want string) []Update {
	t.Helper()
	var have string
	told, _ := f.until(t, "want\n"+want, func(told []Update, _ []error) bool {
		if len(told) == 0 {
			return false
		}
		s := told[len(told)-1].Snapshot
		have = strings.ReplaceAll(describe(s.Domains, s.Problems), f.client.conf.Prefix, "")
		return have == want
	})
	return told
}

// sameAsSnapshot wants the last snapshot to be what a whole read of the registry has.
func (f *following) sameAsSnapshot(t *testing.T) {
	t.Helper()
	want := snapshot(t, f.client)
	told, _ := f.until(t, "the last revision", func(told []Update, _ []error) bool {
		return len(told) > 0 && told[len(told)-1].Snapshot.Keys == want.Keys
	})
	have := told[len(told)-1].Snapshot
	if diff := cmp.Diff(describe(want.Domains, want.Problems), describe(have.Domains, have.Problems)); diff != "" || have.ClusterID != want.ClusterID {
		t.Errorf("-want +have:\n%s", diff)
	}
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
	f := follow(t, dial(t, Config{Endpoints: []string{at}, Prefix: prefix}), nil)
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
