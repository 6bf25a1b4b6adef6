package mirror

import (
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/registrytest"
)

// forever is later than any settle time.
var forever = time.Unix(1<<40, 0)

// A model is the content of etcd, and the mirror that follows it.
type model struct {
	*Mirror
	keys     map[string]registry.KeyValue
	revision int64
	told     registry.Snapshot
}

func newModel() *model {
	return &model{Mirror: New("/p", time.Second, math.MaxInt, registry.Addresses{}), keys: map[string]registry.KeyValue{}}
}

func (m *model) listing() Listing {
	l := Listing{Cluster: 1, Revision: m.revision}
	for key, kv := range m.keys {
		if key == "/p" {
			l.Itself = []registry.KeyValue{{Key: key, Value: ""}}
		} else if strings.HasPrefix(key, "/p/") {
			l.Keys = append(l.Keys, kv)
		}
	}
	slices.SortFunc(l.Keys, func(a, b registry.KeyValue) int { return registry.KeyOrder(a, b.Key) })
	return l
}

// draw draws the changes of a revision: no key twice, as in etcd.
func (m *model) draw(t *rapid.T) []Change {
	m.revision++
	var changes []Change
	for _, kv := range registrytest.KeyValues().Draw(t, "puts") {
		if !slices.ContainsFunc(changes, func(c Change) bool { return c.Key == kv.Key }) {
			kv.Created = registry.CutCreated("/p", kv.Key, m.revision)
			if had, there := m.keys[kv.Key]; there {
				kv.Created = had.Created
			}
			changes = append(changes, Change{KeyValue: kv, Revision: m.revision})
			m.keys[kv.Key] = kv
		}
	}
	for _, kv := range m.listing().Keys {
		if rapid.IntRange(0, 3).Draw(t, "delete") == 0 && !slices.ContainsFunc(changes, func(c Change) bool { return c.Key == kv.Key }) {
			changes = append(changes, Change{KeyValue: registry.KeyValue{Key: kv.Key}, Revision: m.revision, Deleted: true})
			delete(m.keys, kv.Key)
		}
	}
	return changes
}

// check compares the update with Decode of all keys, and checks that it names all differences.
func (m *model) check(t *rapid.T, u registry.Update) {
	t.Helper()
	l := m.listing()
	domains, problems, ignored := registry.Decode("/p", append(l.Keys, l.Itself...), registry.Addresses{})
	problems = append(problems, registry.ShareAliases("/p", domains, m.Domains)...)
	slices.SortFunc(problems, registry.CompareProblems)
	if diff := cmp.Diff(registrytest.Describe(domains, problems, ignored), registrytest.Describe(u.Snapshot.Domains, u.Snapshot.Problems, u.Snapshot.Ignored)); diff != "" {
		t.Fatalf("-decoded +mirrored:\n%s", diff)
	}
	if u.Snapshot.Keys != len(l.Keys) {
		t.Fatalf("have %d keys, want %d", u.Snapshot.Keys, len(l.Keys))
	}
	if want := differing(m.told.Domains, u.Snapshot.Domains); !slices.Equal(want, u.Changed) {
		t.Fatalf("have %q changed, want %q", u.Changed, want)
	}
	m.told = u.Snapshot
}

func differing(have, want []*registry.Domain) []string {
	texts := func(domains []*registry.Domain) map[string]string {
		m := map[string]string{}
		for _, d := range domains {
			m[d.Name] = registrytest.Describe([]*registry.Domain{d}, nil)
		}
		return m
	}
	before, after := texts(have), texts(want)
	var names []string
	for _, d := range slices.Concat(have, want) {
		if before[d.Name] != after[d.Name] {
			names = append(names, d.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestTheMirrorIsWhatDecodeMakesOfAllKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		for range rapid.IntRange(1, 6).Draw(t, "updates") {
			before, text := m.told, registrytest.Describe(m.told.Domains, m.told.Problems)
			var changes []Change
			for range rapid.IntRange(1, 3).Draw(t, "revisions") {
				changes = append(changes, m.draw(t)...)
			}
			if rapid.IntRange(0, 3).Draw(t, "listing") == 0 {
				m.Become(m.listing(), nil, time.Time{})
			} else {
				m.Apply(changes, time.Time{})
			}
			m.Settle(forever)
			m.check(t, m.Update())
			if now := registrytest.Describe(before.Domains, before.Problems); now != text {
				t.Fatalf("the snapshot before was written to:\n%s", cmp.Diff(text, now))
			}
			if len(m.unsettled) != 0 || len(m.groups) > len(m.keys) {
				t.Fatalf("%d groups of %d keys, and %v not settled", len(m.groups), len(m.keys), m.unsettled)
			}
		}
	})
}

func TestTheMirrorTakesChangesThatTheListingHasOrHasNot(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		var changes [][]Change
		var keys []map[string]registry.KeyValue // after each
		for range 6 {
			changes, keys = append(changes, m.draw(t)), append(keys, maps.Clone(m.keys))
		}
		check := func(n int) { // the mirror is as it was after the change
			t.Helper()
			m.Settle(forever)
			m.keys = keys[n]
			m.check(t, m.Update())
		}
		at := rapid.IntRange(0, 5).Draw(t, "listed at")
		asked := rapid.IntRange(0, at).Draw(t, "asked at")
		came := rapid.IntRange(asked, 5).Draw(t, "came at")
		m.keys, m.revision = keys[at], int64(at+1)
		l := m.listing()
		var since []Change
		for n := range 6 {
			if n == came {
				m.Become(l, since, time.Time{})
				check(max(at, n-1))
			}
			m.Apply(changes[n], time.Time{})
			if n >= asked {
				since = append(since, changes[n]...)
			}
			if n < came {
				check(n)
				continue
			}
			check(max(at, n))
		}
	})
}

func TestAChangeCostsNoMoreWithOtherDomains(t *testing.T) {
	m := New("/p", time.Second, math.MaxInt, registry.Addresses{})
	fillHosts(m, 1000)
	revision := int64(2)
	change := func() {
		revision++
		m.Apply([]Change{{KeyValue: registry.KeyValue{Key: "/p/www00500.example.com/server0/weight", Value: fmt.Sprint(revision % 200)}, Revision: revision}}, time.Time{})
		if u := m.Update(); len(u.Changed) != 1 || len(u.Snapshot.Domains) != 1000 {
			t.Fatalf("have %q of %d", u.Changed, len(u.Snapshot.Domains))
		}
	}
	if n := testing.AllocsPerRun(20, change); n > 60 {
		t.Errorf("%.0f allocations", n)
	}
	const changes = 100
	before := allocated()
	for range changes {
		change()
	}
	if n := (allocated() - before) / changes; n > 20<<10 { // 8 kB are pointers to the domains
		t.Errorf("%d bytes are allocated", n)
	}
}

// allocated is the sum of all allocations so far, in bytes.
func allocated() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}

// fillHosts lists domains with two hosts each, and returns the snapshot.
func fillHosts(m *Mirror, domains int) registry.Update {
	l := Listing{Cluster: 1, Revision: 1}
	for d := range domains {
		for h := range 2 {
			host := fmt.Sprintf("%s/www%05d.example.com/server%d/", m.prefix, d, h)
			l.Keys = append(l.Keys, registry.KeyValue{Key: host + "ip", Value: fmt.Sprintf("10.0.%d.%d", d%256, h)}, registry.KeyValue{Key: host + "port", Value: "10000"})
		}
	}
	m.Become(l, nil, time.Time{})
	return m.Update()
}

func BenchmarkUpdate(b *testing.B) {
	for _, domains := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("one of %d domains", domains), func(b *testing.B) {
			m := New("/services/web", time.Second, math.MaxInt, registry.Addresses{})
			fillHosts(m, domains)
			revision := int64(1)
			b.ReportAllocs()
			for b.Loop() {
				revision++
				key := fmt.Sprintf("/services/web/www%05d.example.com/server0/weight", revision%int64(domains))
				m.Apply([]Change{{KeyValue: registry.KeyValue{Key: key, Value: fmt.Sprint(2 + revision/int64(domains)%250)}, Revision: revision}}, time.Time{})
				if u := m.Update(); len(u.Changed) != 1 || len(u.Snapshot.Domains) != domains {
					b.Fatal(u.Changed, len(u.Snapshot.Domains))
				}
			}
		})
	}
}

// BenchmarkMirror measures time and memory for 10,000 domains of two hosts.
func BenchmarkMirror(b *testing.B) {
	memory := func() float64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return float64(s.HeapAlloc) / (1 << 20)
	}
	before := memory()
	var m *Mirror
	for b.Loop() {
		m = New("/services/web", time.Second, math.MaxInt, registry.Addresses{})
		if u := fillHosts(m, 10_000); len(u.Snapshot.Domains) != 10_000 {
			b.Fatal(len(u.Snapshot.Domains))
		}
	}
	b.ReportMetric(memory()-before, "MB")
	runtime.KeepAlive(m)
}
