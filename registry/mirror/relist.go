package mirror

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/registry"
)

// A Listing is what one revision of etcd has below a prefix.
type Listing struct {
	Cluster  uint64
	Revision int64
	Keys     []registry.KeyValue
	Itself   []registry.KeyValue // the key that is the prefix itself, where it is there

	over    map[string]int // the keys of groups that are not kept, because they have too many
	have    map[string]int // those that are
	segment string         // of the last key, with the name of its group
	name    string
	ip      Stored         // the last one that may be a host's
	leads   map[string]int // of ip before port, by the path of the host, where etcd proves one
}

// A Stored is a key as etcd has it. Version counts its puts since the revision Created, Modified is that of the last one.
type Stored struct {
	Key, Value                 []byte
	Version, Created, Modified int64
}

// Add keeps a key of etcd below the prefix, in the order of the keys, unless its domain has too many.
func (l *Listing) Add(prefix string, maxKeys int, kv Stored) {
	l.weigh(kv)
	key, value := kv.Key, kv.Value
	if len(key) <= len(prefix)+1 {
		l.Keys = append(l.Keys, Kept(prefix, key, value, kv.Created))
		return
	}
	if segment, _, _ := strings.Cut(string(key[len(prefix)+1:]), "/"); segment != l.segment || l.have == nil {
		l.segment, l.name = segment, groupName(segment)
	}
	if l.have == nil {
		l.have, l.over = map[string]int{}, map[string]int{}
	}
	if l.have[l.name] >= maxKeys {
		l.over[l.name]++
		return
	}
	l.have[l.name]++
	l.Keys = append(l.Keys, Kept(prefix, key, value, kv.Created))
}

// weigh takes the lead of a host from the versions of its keys. They count more than the puts of moves: those of a writer that
// ended between its two puts, and those of one key while the other one did not exist. So they prove that the key that is ahead
// is put alone only where the other one is not the younger one, and has not been put since: a writer of both that always begins
// with the same key ends with the other one. What they do not prove costs the settle time once.
func (l *Listing) weigh(kv Stored) {
	if bytes.HasSuffix(kv.Key, []byte("/ip")) {
		l.ip = kv
		return
	}
	path, isPort := bytes.CutSuffix(kv.Key, []byte("/port"))
	if ip, _ := bytes.CutSuffix(l.ip.Key, []byte("/ip")); !isPort || len(path) == 0 || !bytes.Equal(ip, path) {
		return
	}
	first, second := l.ip, kv
	if second.Version > first.Version {
		first, second = second, first
	}
	if first.Version > second.Version && first.Created >= second.Created && first.Modified > second.Modified {
		l.leads = set(l.leads, string(path)+"/", int(l.ip.Version-kv.Version))
	}
}

// Serves reports whether a key of etcd below the prefix is of a domain that counts. Those of the prefix itself do.
func Serves[K string | []byte](only registry.Patterns, prefix string, key K) bool {
	if len(only) == 0 || len(key) <= len(prefix)+1 {
		return true
	}
	segment, _, _ := strings.Cut(string(key[len(prefix)+1:]), "/")
	return only.Match(segment)
}

// Count is the number of keys, those included that are not kept.
func (l *Listing) Count() int {
	n := len(l.Keys)
	for _, more := range l.over {
		n += more
	}
	return n
}

// Problems are those of the domains with too many keys, sorted.
func (l *Listing) Problems(prefix string, maxKeys int) (problems []registry.Problem) {
	for _, name := range slices.Sorted(maps.Keys(l.over)) {
		problems = append(problems, tooMany(prefix, name, maxKeys, l.over[name]))
	}
	return problems
}

// Kept copies what is kept of a key.
func Kept(prefix string, key, value []byte, created int64) registry.KeyValue {
	kept := registry.KeyValue{Key: registry.CutKey(prefix, string(key))}
	kept.Value, kept.Created = registry.CutValue(prefix, kept.Key, value), registry.CutCreated(prefix, kept.Key, created)
	return kept
}

// tooMany is the problem of a group of which only the first keys are kept.
func tooMany(prefix, name string, maxKeys, over int) registry.Problem {
	if name == unnamed {
		return registry.NewProblem(prefix+"/", fmt.Errorf("there are more than %d keys of domains with a bad name, and %d are not read: delete them", maxKeys, over))
	}
	p := registry.NewProblem(prefix+"/"+name, fmt.Errorf("the domain has more than %d keys (--max-keys), and %d are not read: delete those that mean nothing", maxKeys, over))
	p.Domain = name
	return p
}

// Begin brings the mirror to the listing that a watch goes on from.
func (m *Mirror) Begin(l Listing, now time.Time) {
	m.heard = l.Revision
	m.Become(l, nil, now)
	for _, g := range m.groups {
		g.leads = nil
	}
	for path, lead := range l.leads {
		host, _, ok := m.host(path + "ip")
		if g := m.groups[host.domain]; ok && g != nil {
			g.leads = set(g.leads, path, lead)
		}
	}
}

// set is the map with the value, which is made where there is none.
func set(m map[string]int, key string, value int) map[string]int {
	if m == nil {
		m = map[string]int{}
	}
	m[key] = value
	return m
}

// Become brings the mirror to the listing and the changes since, which the watch has told while the
// listing was read. What differs counts as changed at one revision, so that hosts settle over it.
func (m *Mirror) Become(l Listing, since []Change, now time.Time) {
	want := New(m.prefix, m.settle, m.maxKeys, m.addresses)
	want.Domains = m.Domains
	want.fill(l)
	want.listed = l.Revision
	last := l.Revision
	for _, c := range since {
		if name, ok := want.groupOf(c.Key); ok && c.Revision > l.Revision {
			want.set(name, c)
			last = max(last, c.Revision)
		}
	}
	m.listed = 0
	m.Apply(m.differences(want, last), now)
	m.takeOver(want)
	m.listed = l.Revision
	m.snapshot.ClusterID = l.Cluster
	m.snapshot.Revision = max(m.snapshot.Revision, registry.Revision(last))
}

// takeOver takes the numbers of keys that are not kept.
func (m *Mirror) takeOver(want *Mirror) {
	for name, g := range m.groups {
		if w := want.groups[name]; w != nil && w.over != g.over || w == nil && g.over > 0 {
			over := 0
			if w != nil {
				over = w.over
			}
			m.snapshot.Keys += over - g.over
			g.over = over
			m.soil(name, time.Time{})
		}
	}
}

// fill takes the keys of a listing.
func (m *Mirror) fill(l Listing) {
	for _, keys := range [][]registry.KeyValue{l.Keys, l.Itself} {
		for _, kv := range keys {
			if name, ok := m.groupOf(kv.Key); ok {
				m.set(name, Change{KeyValue: kv})
			}
		}
	}
	for name, over := range l.over {
		m.groups[name].over += over
		m.snapshot.Keys += over
	}
}

// differences returns what turns the keys of the mirror into those of want.
func (m *Mirror) differences(want *Mirror, revision int64) []Change {
	var changes []Change
	for name, g := range m.groups {
		w := want.groups[name]
		if w == nil {
			w = new(group)
		}
		changes = g.differences(w, revision, changes)
	}
	for name, w := range want.groups {
		if m.groups[name] == nil {
			changes = new(group).differences(w, revision, changes)
		}
	}
	gone := func(c Change) int {
		if c.Deleted {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(changes, func(a, b Change) int { return gone(a) - gone(b) }) // what goes makes room for what comes
	return changes
}

func (g *group) differences(want *group, revision int64, changes []Change) []Change {
	have, keys := g.keys, want.keys
	for len(have)+len(keys) > 0 {
		switch {
		case len(keys) == 0 || len(have) > 0 && registry.KeyOrder(have[0], keys[0].Key) < 0:
			changes = append(changes, Change{KeyValue: have[0], Revision: revision, Deleted: true})
			have = have[1:]
		case len(have) == 0 || registry.KeyOrder(have[0], keys[0].Key) > 0:
			changes = append(changes, Change{KeyValue: keys[0], Revision: revision})
			keys = keys[1:]
		default:
			if have[0] != keys[0] {
				changes = append(changes, Change{KeyValue: keys[0], Revision: revision})
			}
			have, keys = have[1:], keys[1:]
		}
	}
	return changes
}
