package registry

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// A change is a key that was put or deleted.
type change struct {
	KeyValue
	revision int64
	deleted  bool
	lease    int64 // of the key that was deleted, 0 where it had none
	lapsed   bool  // it was deleted because its lease ended
}

// A mirror is the registry in memory. It knows nothing of etcd. One goroutine owns it; the snapshots
// it returns share what did not change, and none is ever written to again.
type mirror struct {
	prefix, root string // without and with a slash at its end
	settle       time.Duration

	snapshot  Snapshot
	listed    int64 // the revision of the last listing: older changes are in it
	heard     int64 // the revision of the last change, or of the listing that the watch goes on from
	groups    map[string]*group
	dirty     map[string]struct{} // names of groups to be decoded again
	unsettled map[string]struct{} // names of groups with moves
	lapsed    map[address]struct{}
}

// A group is the keys that Decode must see together: all spellings of one domain. The prefix itself
// is a group of its own.
type group struct {
	keys     []KeyValue // in the order of Decode
	domain   []Domain   // one or none
	problems []Problem
	moves    map[string]move // by the path of the host
}

// itself is the name of the group of the prefix: no domain has a slash.
const itself = "/"

func newMirror(prefix string, settle time.Duration) *mirror {
	return &mirror{
		prefix: prefix, root: prefix + "/", settle: settle,
		snapshot: Snapshot{Prefix: prefix, Domains: []Domain{}}, groups: map[string]*group{},
		dirty: map[string]struct{}{}, unsettled: map[string]struct{}{}, lapsed: map[address]struct{}{},
	}
}

// groupOf returns the name of the group, which is that of the domain if the key has a good one.
func (m *mirror) groupOf(key string) (name string, ok bool) {
	if key == m.prefix {
		return itself, true
	}
	if !strings.HasPrefix(key, m.root) {
		return "", false
	}
	return strings.ToLower(segment(key, len(m.root))), true
}

// apply takes changes in the order of their revisions.
func (m *mirror) apply(changes []change, now time.Time) {
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && changes[n].revision == changes[0].revision {
			n++
		}
		m.applyRevision(changes[:n], now)
		changes = changes[n:]
	}
}

func (m *mirror) applyRevision(changes []change, now time.Time) {
	m.heard = max(m.heard, changes[0].revision)
	if changes[0].revision <= m.listed {
		return
	}
	touched := m.touched(changes)
	for _, c := range changes {
		if name, ok := m.groupOf(c.Key); ok {
			m.set(name, c)
		}
	}
	for _, t := range touched {
		m.weigh(t, now)
	}
}

func (m *mirror) set(name string, c change) {
	g := m.groups[name]
	if g == nil {
		g = new(group)
		m.groups[name] = g
	}
	n := len(g.keys)
	if g.set(c) {
		m.dirty[name] = struct{}{}
	}
	if name != itself {
		m.snapshot.Keys += len(g.keys) - n
	}
}

// set reports whether the change makes a difference.
func (g *group) set(c change) bool {
	at, there := slices.BinarySearchFunc(g.keys, c.Key, keyOrder)
	switch {
	case c.deleted && there:
		g.keys = slices.Delete(g.keys, at, at+1)
	case c.deleted, there && g.keys[at].Value == c.Value:
		return false
	case there:
		g.keys[at].Value = c.Value
	default:
		g.keys = slices.Insert(g.keys, at, c.KeyValue)
	}
	return true
}

func (g *group) value(key string) (value string, there bool) {
	at, there := slices.BinarySearchFunc(g.keys, key, keyOrder)
	if !there {
		return "", false
	}
	return g.keys[at].Value, true
}

// update decodes what changed, and returns the snapshot with the names of the domains that differ
// from the update before.
func (m *mirror) update() Update {
	var out, in group
	changed := []string{}
	for _, name := range slices.Sorted(maps.Keys(m.dirty)) {
		g := m.groups[name]
		domain, problems := Decode(m.prefix, g.effective())
		out.problems, in.problems = append(out.problems, g.problems...), append(in.problems, problems...)
		if !slices.EqualFunc(g.domain, domain, Domain.Equal) {
			out.domain, in.domain = append(out.domain, g.domain...), append(in.domain, domain...)
			changed = append(changed, name)
			g.domain = domain
		}
		g.problems = problems
		if len(g.keys) == 0 {
			delete(m.groups, name)
		}
	}
	clear(m.dirty)
	slices.SortFunc(out.problems, compareProblems)
	slices.SortFunc(in.problems, compareProblems)
	m.snapshot.Domains = patch(m.snapshot.Domains, out.domain, in.domain, byName)
	m.snapshot.Problems = patch(m.snapshot.Problems, out.problems, in.problems, compareProblems)
	m.snapshot.Changed = max(m.snapshot.Changed, m.whole())
	return Update{Snapshot: m.snapshot, Changed: changed, Expired: m.expired()}
}

// whole is the last revision of which the snapshot has everything: a move holds the changes from its own on.
func (m *mirror) whole() Revision {
	whole := m.heard
	for name := range m.unsettled {
		for _, mv := range m.groups[name].moves {
			whole = min(whole, mv.revision-1)
		}
	}
	return Revision(whole)
}

func byName(a, b Domain) int { return cmp.Compare(a.Name, b.Name) }

// patch returns a copy without out and with in. All are sorted; out is part of have.
func patch[T any](have, out, in []T, order func(a, b T) int) []T {
	if len(out) == 0 && len(in) == 0 {
		return have
	}
	next := make([]T, 0, len(have)-len(out)+len(in))
	for len(out)+len(in) > 0 {
		if len(in) == 0 || len(out) > 0 && order(out[0], in[0]) <= 0 {
			at, _ := slices.BinarySearchFunc(have, out[0], order)
			next, have, out = append(next, have[:at]...), have[at+1:], out[1:]
			continue
		}
		at, _ := slices.BinarySearchFunc(have, in[0], order)
		next = append(append(next, have[:at]...), in[0])
		have, in = have[at:], in[1:]
	}
	return append(next, have...)
}
