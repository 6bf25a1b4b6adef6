package mirror

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/registry"
)

// A Change is a key that was put or deleted.
type Change struct {
	registry.KeyValue
	Revision int64
	Heard    time.Time // when etcd sent it; zero if a listing found it
	Deleted  bool
	Lease    int64 // of the deleted key; 0 for none
	Expired  bool  // it was deleted because its lease ended
}

// A Mirror is the registry in memory. It knows nothing of etcd. One goroutine owns it. Its snapshots share what did not change;
// they are never written to again.
type Mirror struct {
	prefix, root string // without and with a slash at its end
	settle       time.Duration
	maxKeys      int // for each domain
	addresses    registry.Addresses
	// Domains match the domains to keep. It is set before anything else.
	Domains registry.Patterns

	snapshot   registry.Snapshot
	listed     int64 // the revision of the last listing: older changes are in it
	heard      int64 // the revision of the last change, or of the listing at which the watch began
	groups     map[string]*group
	dirty      map[string]time.Time // groups to decode again, and when the first change of each was heard
	unsettled  map[string]struct{}  // groups with moves
	leaseEnded map[address]struct{}
	names      map[string]int // names of ignored keys, and in how many groups each is
	aliases    registry.Aliases
}

// A group is the keys that Decode must see together: all spellings of one domain. The prefix itself is a group of its own.
type group struct {
	keys     []registry.KeyValue // in the order of Decode
	over     int                 // how many keys are not kept
	decoded  []*registry.Domain  // one or none, with all aliases that it asks for
	bad      []registry.Problem  // of its own keys
	domain   []*registry.Domain  // like decoded, with the aliases that it gets
	problems []registry.Problem  // like bad, with the aliases that it does not get
	ignored  registry.Ignored
	moves    map[string]move // by the path of the host
	leads    map[string]int  // of ip over port, by the path of the host; never 0
}

// itself is the group of the prefix. No domain has a slash.
const itself = "/"

// unnamed is the group of all names that cannot be a domain.
const unnamed = "//"

// New returns an empty mirror. It keeps at most maxKeys keys of a domain and counts the others.
func New(prefix string, settle time.Duration, maxKeys int, addresses registry.Addresses) *Mirror {
	return &Mirror{
		prefix: prefix, root: prefix + "/", settle: settle, maxKeys: maxKeys, addresses: addresses,
		snapshot: registry.Snapshot{Prefix: prefix, Domains: []*registry.Domain{}}, groups: map[string]*group{},
		dirty: map[string]time.Time{}, unsettled: map[string]struct{}{}, leaseEnded: map[address]struct{}{}, names: map[string]int{},
	}
}

// Cluster of the last listing.
func (m *Mirror) Cluster() uint64 { return m.snapshot.ClusterID }

// Revision that the mirror has reached.
func (m *Mirror) Revision() registry.Revision { return m.snapshot.Revision }

// Reached notes that etcd has reached a revision, with or without changes below the prefix.
func (m *Mirror) Reached(revision registry.Revision) {
	m.snapshot.Revision = max(m.snapshot.Revision, revision)
}

// groupOf returns the group of a key: the name of the domain if that is good.
func (m *Mirror) groupOf(key string) (name string, ok bool) {
	if key == m.prefix {
		return itself, true
	}
	if !strings.HasPrefix(key, m.root) || !Serves(m.Domains, m.prefix, key) {
		return "", false
	}
	name, _, _ = strings.Cut(key[len(m.root):], "/")
	return groupName(name), true
}

func groupName(segment string) string {
	if registry.CheckDomain(segment) != nil {
		return unnamed
	}
	return strings.ToLower(segment)
}

// Apply applies changes, which are sorted by revision.
func (m *Mirror) Apply(changes []Change, now time.Time) {
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && changes[n].Revision == changes[0].Revision {
			n++
		}
		m.applyRevision(changes[:n], now)
		changes = changes[n:]
	}
}

func (m *Mirror) applyRevision(changes []Change, now time.Time) {
	m.heard = max(m.heard, changes[0].Revision)
	if changes[0].Revision <= m.listed {
		return
	}
	changes = m.served(changes)
	touched := m.touched(changes)
	for _, c := range changes {
		if name, ok := m.groupOf(c.Key); ok {
			m.set(name, c)
		}
	}
	for _, t := range touched {
		m.updateMove(t, now)
	}
}

// served returns the changes of domains that are kept.
func (m *Mirror) served(changes []Change) []Change {
	if len(m.Domains) == 0 {
		return changes
	}
	var served []Change
	for _, c := range changes {
		if !strings.HasPrefix(c.Key, m.root) || Serves(m.Domains, m.prefix, c.Key) {
			served = append(served, c)
		}
	}
	return served
}

func (m *Mirror) set(name string, c Change) {
	g := m.groups[name]
	if g == nil {
		g = new(group)
		m.groups[name] = g
	}
	n := len(g.keys) + g.over
	if g.set(c, m.maxKeys) {
		m.markDirty(name, c.Heard)
	}
	if name != itself {
		m.snapshot.Keys += len(g.keys) + g.over - n
	}
}

// markDirty marks a group to be decoded again, because of a change that was heard at that time.
func (m *Mirror) markDirty(name string, heard time.Time) {
	if first, there := m.dirty[name]; !there || heard.Before(first) {
		m.dirty[name] = heard
	}
}

// set makes the change and reports whether it makes a difference.
func (g *group) set(c Change, maxKeys int) bool {
	at, there := slices.BinarySearchFunc(g.keys, c.Key, registry.KeyOrder)
	switch {
	case !there && c.Deleted && g.over > 0:
		g.over--
		return true
	case !there && !c.Deleted && len(g.keys) >= maxKeys:
		g.over++ // each put of a key that is not kept counts, until the next listing
		return true
	case c.Deleted && there:
		g.keys = slices.Delete(g.keys, at, at+1)
	case c.Deleted, there && g.keys[at] == c.KeyValue:
		return false
	case there:
		g.keys[at] = c.KeyValue
	default:
		g.keys = slices.Insert(g.keys, at, c.KeyValue)
	}
	return true
}

func (g *group) value(key string) (value string, there bool) {
	at, there := slices.BinarySearchFunc(g.keys, key, registry.KeyOrder)
	if !there {
		return "", false
	}
	return g.keys[at].Value, true
}

// Update decodes what changed. It returns the snapshot and the domains that differ from the Update before.
func (m *Mirror) Update() registry.Update {
	var out, in group
	changed, heard, again := []string{}, map[string]time.Time{}, m.decode()
	for _, name := range slices.Sorted(maps.Keys(again)) {
		g := m.groups[name]
		domain, problems := m.withAliases(g)
		out.problems, in.problems = append(out.problems, g.problems...), append(in.problems, problems...)
		if !slices.EqualFunc(g.domain, domain, equal) {
			out.domain, in.domain = append(out.domain, g.domain...), append(in.domain, domain...)
			changed, heard[name] = append(changed, name), again[name]
			g.domain = domain
		}
		g.problems = problems
		if len(g.keys) == 0 && g.over == 0 {
			delete(m.groups, name)
		}
	}
	slices.SortFunc(out.problems, registry.CompareProblems)
	slices.SortFunc(in.problems, registry.CompareProblems)
	m.snapshot.Domains = patch(m.snapshot.Domains, out.domain, in.domain, byName)
	m.snapshot.Problems = patch(m.snapshot.Problems, out.problems, in.problems, registry.CompareProblems)
	m.snapshot.Changed = max(m.snapshot.Changed, m.completeUntil())
	return registry.Update{Snapshot: m.snapshot, Changed: changed, Heard: heard, Expired: m.expired()}
}

// decode decodes the dirty groups. It returns them and the groups whose aliases they affect, with the time of the change.
func (m *Mirror) decode() map[string]time.Time {
	again := maps.Clone(m.dirty)
	for name, at := range m.dirty {
		g := m.groups[name]
		domain, problems, ignored := registry.Decode(m.prefix, g.effective(), m.addresses)
		m.ignore(g, ignored)
		if g.over > 0 {
			problems = append(problems, tooMany(m.prefix, name, m.maxKeys, g.over))
		}
		for _, other := range m.aliases.Change(first(g.decoded), first(domain)) {
			if _, known := again[other]; !known {
				again[other] = at
			}
		}
		g.decoded, g.bad = domain, problems
	}
	m.dirty = map[string]time.Time{} // clear would leave it as large as at the start, and each Update clones it
	return again
}

// first is the domain of a group; zero if there is none.
func first(domains []*registry.Domain) (d registry.Domain) {
	if len(domains) > 0 {
		d = *domains[0]
	}
	return d
}

// withAliases returns the domain of a group with only the aliases that it gets, and all problems of the group.
func (m *Mirror) withAliases(g *group) ([]*registry.Domain, []registry.Problem) {
	if first(g.decoded).Options.Aliases == "" {
		return g.decoded, g.bad
	}
	d, lost := m.aliases.Share(m.prefix, *g.decoded[0], m.Domains, func(name string) bool {
		other := m.groups[name]
		return other != nil && len(other.decoded) > 0
	})
	return []*registry.Domain{&d}, slices.Concat(g.bad, lost)
}

// ignore replaces the ignored keys of a group, and updates the sum over all groups.
func (m *Mirror) ignore(g *group, now registry.Ignored) {
	before := g.ignored
	g.ignored = now
	if before.Keys == now.Keys && slices.Equal(before.Names, now.Names) {
		return
	}
	m.snapshot.Ignored.Keys += now.Keys - before.Keys
	for _, name := range before.Names {
		if m.names[name]--; m.names[name] == 0 {
			delete(m.names, name)
		}
	}
	for _, name := range now.Names {
		m.names[name]++
	}
	m.snapshot.Ignored.Names = registry.Ignored{}.Add(registry.Ignored{Names: slices.Sorted(maps.Keys(m.names))}).Names
}

// completeUntil is the last revision up to which the snapshot has all changes. A move holds its own change back.
func (m *Mirror) completeUntil() registry.Revision {
	whole := m.heard
	for name := range m.unsettled {
		for _, mv := range m.groups[name].moves {
			if mv.revision > 0 {
				whole = min(whole, mv.revision-1)
			}
		}
	}
	return registry.Revision(whole)
}

func byName(a, b *registry.Domain) int { return cmp.Compare(a.Name, b.Name) }

func equal(a, b *registry.Domain) bool { return a.Equal(*b) }

// patch returns a copy of have without out and with in. All are sorted; have contains all of out.
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
