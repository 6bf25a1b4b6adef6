package registry

import "time"

// become brings the mirror to the listing and the changes since, which the watch has told while the
// listing was read. What differs counts as changed at one revision, so that hosts settle over it.
func (m *mirror) become(l listing, since []change, now time.Time) {
	want := newMirror(m.prefix, m.settle)
	want.fill(l)
	want.listed = l.revision
	last := l.revision
	for _, c := range since {
		if name, ok := want.groupOf(c.Key); ok && c.revision > l.revision {
			want.set(name, c)
			last = max(last, c.revision)
		}
	}
	m.listed = 0
	m.apply(m.differences(want, last), now)
	m.listed = l.revision
	m.snapshot.ClusterID = l.cluster
	m.snapshot.Revision = max(m.snapshot.Revision, Revision(last))
}

// fill takes the keys of a listing.
func (m *mirror) fill(l listing) {
	for _, keys := range [][]KeyValue{l.keys, l.itself} {
		for _, kv := range keys {
			if name, ok := m.groupOf(kv.Key); ok {
				m.set(name, change{KeyValue: kv})
			}
		}
	}
}

// differences returns what turns the keys of the mirror into those of want.
func (m *mirror) differences(want *mirror, revision int64) []change {
	var changes []change
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

func (g *group) differences(want *group, revision int64, changes []change) []change {
	have, keys := g.keys, want.keys
	for len(have)+len(keys) > 0 {
		switch {
		case len(keys) == 0 || len(have) > 0 && keyOrder(have[0], keys[0].Key) < 0:
			changes = append(changes, change{KeyValue: have[0], revision: revision, deleted: true})
			have = have[1:]
		case len(have) == 0 || keyOrder(have[0], keys[0].Key) > 0:
			changes = append(changes, change{KeyValue: keys[0], revision: revision})
			keys = keys[1:]
		default:
			if have[0].Value != keys[0].Value {
				changes = append(changes, change{KeyValue: keys[0], revision: revision})
			}
			have, keys = have[1:], keys[1:]
		}
	}
	return changes
}
