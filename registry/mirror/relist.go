package mirror

import (
	"time"

	"github.com/hapsync/hapsync/registry"
)

// A Listing is what one revision of etcd has below a prefix.
type Listing struct {
	Cluster  uint64
	Revision int64
	Keys     []registry.KeyValue
	Itself   []registry.KeyValue // the key that is the prefix itself, where it is there
}

// Begin brings the mirror to the listing that a watch goes on from.
func (m *Mirror) Begin(l Listing, now time.Time) {
	m.heard = l.Revision
	m.Become(l, nil, now)
}

// Become brings the mirror to the listing and the changes since, which the watch has told while the
// listing was read. What differs counts as changed at one revision, so that hosts settle over it.
func (m *Mirror) Become(l Listing, since []Change, now time.Time) {
	want := New(m.prefix, m.settle)
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
	m.listed = l.Revision
	m.snapshot.ClusterID = l.Cluster
	m.snapshot.Revision = max(m.snapshot.Revision, registry.Revision(last))
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
			if have[0].Value != keys[0].Value {
				changes = append(changes, Change{KeyValue: keys[0], Revision: revision})
			}
			have, keys = have[1:], keys[1:]
		}
	}
	return changes
}
