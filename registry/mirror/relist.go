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

// A Listing is all keys below a prefix at one revision of etcd.
type Listing struct {
	Cluster  uint64
	Revision int64
	Keys     []registry.KeyValue
	Itself   []registry.KeyValue // the key that is the prefix itself, if it exists

	over    map[string]int // by group: how many keys are not kept, because there are too many
	have    map[string]int // by group: how many are kept
	segment string         // of the last key
	name    string         // the group of segment
	ip      Stored         // the last key that may be the ip of a host
	leads   map[string]int // of ip over port, by the path of the host, if etcd's versions prove it
}

// A Stored is a key in etcd. Version counts its puts since it was created. Created is the revision of the first of these puts,
// Modified that of the last.
type Stored struct {
	Key, Value                 []byte
	Version, Created, Modified int64
}

// Add adds a key below the prefix, unless its domain has too many. Keys are added in order.
func (l *Listing) Add(prefix string, maxKeys int, kv Stored) {
	l.addLead(kv)
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

// addLead computes the lead of a host from the versions of its two keys, if they prove it: the key with more puts must also be
// put last, and not be created before the other.
//
// Versions alone prove too little. They also count the puts of a writer that died between its two puts, and the puts of one key
// while the other did not exist. But a writer of both keys that always begins with the same one puts the other one last. An
// unproved lead costs one settle time.
func (l *Listing) addLead(kv Stored) {
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

// Serves reports whether a key of etcd is of a domain that matches only. A key that is the prefix itself always is.
func Serves[K string | []byte](only registry.Patterns, prefix string, key K) bool {
	if len(only) == 0 || len(key) <= len(prefix)+1 {
		return true
	}
	segment, _, _ := strings.Cut(string(key[len(prefix)+1:]), "/")
	return only.Match(segment)
}

// Count is the number of keys, kept or not.
func (l *Listing) Count() int {
	n := len(l.Keys)
	for _, more := range l.over {
		n += more
	}
	return n
}

// Problems are the domains with too many keys, sorted.
func (l *Listing) Problems(prefix string, maxKeys int) (problems []registry.Problem) {
	for _, name := range slices.Sorted(maps.Keys(l.over)) {
		problems = append(problems, tooMany(prefix, name, maxKeys, l.over[name]))
	}
	return problems
}

// Kept copies the part of a key that is kept.
func Kept(prefix string, key, value []byte, created int64) registry.KeyValue {
	kept := registry.KeyValue{Key: registry.CutKey(prefix, string(key))}
	kept.Value, kept.Created = registry.CutValue(prefix, kept.Key, value), registry.CutCreated(prefix, kept.Key, created)
	return kept
}

// tooMany is the problem of a group with too many keys.
func tooMany(prefix, name string, maxKeys, over int) registry.Problem {
	if name == unnamed {
		return registry.NewProblem(prefix+"/",
			fmt.Errorf("there are more than %d keys of domains with a bad name, and %d are not read: delete them", maxKeys, over))
	}
	p := registry.NewProblem(prefix+"/"+name,
		fmt.Errorf("the domain has more than %d keys (--max-keys), and %d are not read: delete those that mean nothing", maxKeys, over))
	p.Domain = name
	return p
}

// Begin brings the mirror to the listing at which a watch begins.
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

// set sets a value and returns the map, which it makes if it is nil.
func set(m map[string]int, key string, value int) map[string]int {
	if m == nil {
		m = map[string]int{}
	}
	m[key] = value
	return m
}

// Become brings the mirror to the listing and to the changes that the watch sent while the listing was read. All differences
// count as changes at one revision, so that hosts settle over it.
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
	m.copyOver(want)
	m.listed = l.Revision
	m.snapshot.ClusterID = l.Cluster
	m.snapshot.Revision = max(m.snapshot.Revision, registry.Revision(last))
}

// copyOver copies the numbers of keys that are not kept.
func (m *Mirror) copyOver(want *Mirror) {
	for name, g := range m.groups {
		if w := want.groups[name]; w != nil && w.over != g.over || w == nil && g.over > 0 {
			over := 0
			if w != nil {
				over = w.over
			}
			m.snapshot.Keys += over - g.over
			g.over = over
			m.markDirty(name, time.Time{})
		}
	}
}

// fill adds the keys of a listing.
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

// differences returns the changes that turn the keys of the mirror into those of want, deletions first: they make room.
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
	rank := func(c Change) int {
		if c.Deleted {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(changes, func(a, b Change) int { return rank(a) - rank(b) })
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
