package mirror

import (
	"math"
	"testing"
	"time"

	"github.com/hapsync/hapsync/registry"
)

func TestDomainsThatAreNotServedAreNotKept(t *testing.T) {
	t.Parallel()
	m, now := New("/p", time.Second, math.MaxInt, registry.Addresses{}), time.Now()
	m.Domains = registry.Patterns{"a.com", "*.b.com"}
	put := func(revision int64, keys ...string) {
		t.Helper()
		var changes []Change
		for _, key := range keys {
			changes = append(changes, Change{KeyValue: registry.KeyValue{Key: "/p/" + key, Value: "80"}, Revision: revision})
		}
		m.Apply(changes, now)
	}
	want := func(keys int, changed registry.Revision, domains ...string) {
		t.Helper()
		s := m.Update().Snapshot
		var have []string
		for _, d := range s.Domains {
			have = append(have, d.Name)
		}
		if s.Keys != keys || s.Changed != changed || len(s.Problems) > 0 || len(have) != len(domains) {
			t.Fatalf("%d keys, changed %d, %v, %v", s.Keys, s.Changed, have, s.Problems)
		}
	}
	l := Listing{Cluster: 1, Revision: 1}
	for _, key := range []string{"/p/a.com/s1/port", "/p/x.com/s1/port", "/p/bad name/s1/port"} {
		if Serves(m.Domains, "/p", key) != (key == "/p/a.com/s1/port") {
			t.Errorf("serves %s", key)
		}
		l.Add("/p", math.MaxInt, Stored{Key: []byte(key), Value: []byte("80")})
	}
	m.Begin(l, now)
	want(1, 1, "a.com")
	put(2, "x.com/s1/ip", "x.com/s1/port", "bad name/s1/port")
	put(3, "x.com/s1/port") // one of the two keys of a host
	want(1, 3, "a.com")     // it has heard of them
	put(4, "x.com/s1/ip", "y.b.com/s1/port")
	want(2, 4, "a.com", "y.b.com")
	put(6, "x.com/s1/ip")
	m.Become(Listing{Cluster: 1, Revision: 5}, []Change{{KeyValue: registry.KeyValue{Key: "/p/x.com/s1/ip", Value: "80"}, Revision: 6}}, now)
	want(0, 6)
}
