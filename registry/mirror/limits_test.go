package mirror

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/registrytest"
)

// atMost is how many keys of a domain the test keeps.
const atMost = 3

// listOf lists the keys as etcd does.
func listOf(revision int64, keys ...string) Listing {
	l := Listing{Cluster: 1, Revision: revision}
	for _, key := range keys {
		l.Add("/p", atMost, Stored{Key: []byte("/p/" + key), Value: []byte("1")})
	}
	return l
}

func TestADomainWithTooManyKeysIsCountedAndTheOthersAreFollowed(t *testing.T) {
	t.Parallel()
	m, now := New("/p", time.Second, atMost, registry.Addresses{}), time.Now()
	put := func(revision int64, deleted bool, key string) {
		m.Apply([]Change{{KeyValue: registry.KeyValue{Key: "/p/" + key, Value: "1"}, Revision: revision, Deleted: deleted}}, now)
	}
	want := func(what, want string, keys int) {
		t.Helper()
		s := m.Update().Snapshot
		if got := registrytest.Describe(s.Domains, s.Problems, s.Ignored); got != want || s.Keys != keys {
			t.Errorf("%s: %d keys, want %d, and\n%swant\n%s", what, s.Keys, keys, got, want)
		}
	}
	const few = "a.com\n  s1 pending: no ip\n~ 2 ignored: x1 x2\n"
	many := func(n int) string {
		return "a.com\n  s1 pending: no ip\n! /p/a.com\n" +
			fmt.Sprintf("    the domain has more than 3 keys (--max-keys), and %d are not read: delete those that mean nothing\n    holds a.com\n~ 2 ignored: x1 x2\n", n)
	}
	m.Begin(listOf(1, "a.com/s1/port", "a.com/s1/x1", "a.com/s1/x2"), now)
	want("as many as may be", few, 3)
	put(2, false, "a.com/s1/x3")
	put(3, false, "a.com/s1/x4")
	want("two too many", many(2), 5)
	put(4, true, "a.com/s1/x3")
	want("one of them goes", many(1), 4)
	put(5, true, "a.com/s1/x4")
	want("the other goes", few, 3)
	m.Become(listOf(6, "a.com/s1/port", "a.com/s1/x1", "a.com/s1/x2", "a.com/s1/x3"), nil, now)
	want("a listing with one too many", many(1), 4)
	m.Become(listOf(7, "a.com/s1/port", "a.com/s1/x1", "a.com/s1/x2"), nil, now)
	want("a listing without", few, 3)
	m.Become(listOf(8, "a.com/s0/port", "a.com/s1/port", "a.com/s1/x1"), nil, now)
	want("one has gone, and one has come that sorts before it", "a.com\n  s0 pending: no ip\n  s1 pending: no ip\n~ 1 ignored: x1\n", 3)
	m.Begin(listOf(9, "a.com/r0/port", "a.com/s0/port", "a.com/s1/port"), now)
	want("again, after a watch that was cut", "a.com\n  r0 pending: no ip\n  s0 pending: no ip\n  s1 pending: no ip\n", 3)
	m.Become(listOf(10), nil, now)
	want("an empty listing", "", 0)
}

func TestJunkTakesLittleMemory(t *testing.T) {
	m := New("/services/web", time.Second, 1000, registry.Addresses{})
	l := Listing{Cluster: 1, Revision: 1}
	before := heap()
	for i := range 300 {
		l.Add("/services/web", 1000, Stored{Key: fmt.Appendf(nil, "/services/web/a.com/%d%s/ip", i, strings.Repeat("x", 1<<20)), Value: make([]byte, 1<<20)})
	}
	for i := range 100_000 {
		l.Add("/services/web", 1000, Stored{Key: fmt.Appendf(nil, "/services/web/b.com/s1/%d%s", i, strings.Repeat("x", 1000))})
		l.Add("/services/web", 1000, Stored{Key: fmt.Appendf(nil, "/services/web/bad name %d/s1/ip", i)})
	}
	m.Begin(l, time.Now())
	s := m.Update().Snapshot
	if used := heap() - before; used > 8<<20 {
		t.Errorf("%d MB are used", used>>20)
	}
	if len(s.Problems) > 400 || s.Keys != 200_300 {
		t.Errorf("%d problems, %d keys", len(s.Problems), s.Keys)
	}
	runtime.KeepAlive(m)
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
