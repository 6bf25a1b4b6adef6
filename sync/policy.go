package sync

import (
	"cmp"
	"fmt"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// Policy holds the safeguards: filters over a finished plan.
type Policy struct {
	// MaxRemoval is the share of the managed servers, in percent (1..100), that one pass may remove where
	// there are more than five; 0 means 50.
	MaxRemoval int
	// AllowMassRemoval confirms a removal that would be held.
	AllowMassRemoval bool
}

// handful is the number of servers up to which any of them may go at once, as long as one stays.
const handful = 5

// A HeldError is a plan that a safeguard holds back. Nothing was touched.
type HeldError struct{ Reason string }

func (e *HeldError) Error() string { return "held: " + e.Reason }

// removals is what a pass would remove, and what went shortly before: many small steps are as bad as one big one.
type removals struct {
	// have is the number of managed servers that there are now, earlier of those that went shortly before.
	have, earlier int
	// now is how many of have would go.
	now int
	// expired is set when some go because their lease ended, and not because somebody deleted them.
	expired bool
}

func (r removals) with(now int) removals {
	r.now += now
	return r
}

// check holds a pass that would take out too much at once: an answer of etcd's with nothing in it is what a wrong
// prefix, an empty cluster and a lost data directory look like, too.
func (p Policy) check(r removals, keys int) error {
	if p.AllowMassRemoval || r.now == 0 {
		return nil
	}
	limit := cmp.Or(p.MaxRemoval, 50)
	have, removed := r.have+r.earlier, r.now+r.earlier
	single := r.now == 1 && !r.expired
	switch {
	case keys == 0:
		return &HeldError{fmt.Sprintf("the registry has no key below the prefix, but HAProxy has %s (is the prefix right?)", count(r.have, "managed server"))}
	case r.now == r.have && r.now > 1:
		return &HeldError{fmt.Sprintf("all %s would be removed", count(r.have, "managed server"))}
	case have > handful && !single && removed*100 > have*limit:
		return &HeldError{fmt.Sprintf("%d of %s would be removed, which is more than %d%%", removed, count(have, "managed server"), limit)}
	}
	return nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// sameRegistry holds what comes from a registry that may not be the one that HAProxy was brought in line with: a
// cluster made anew, or restored from a backup.
func sameRegistry(earlier, now registry.Snapshot) error {
	switch {
	case earlier.Revision == 0:
		return nil
	case earlier.ClusterID != now.ClusterID:
		return &HeldError{fmt.Sprintf("etcd is another cluster than before (id %x, was %x) and says something else", now.ClusterID, earlier.ClusterID)}
	case now.Revision < earlier.Revision:
		return &HeldError{fmt.Sprintf("etcd is back at revision %d, was at %d, and says something else", now.Revision, earlier.Revision)}
	}
	return nil
}

// countRemovals counts the servers that the file or the process has, and, by backend, those of them that are not wanted.
func countRemovals(want haproxy.Config, st haproxy.State) (have int, removed map[string]int) {
	type key struct{ backend, server string }
	seen := map[key]bool{}
	for _, c := range []haproxy.Config{st.File, st.Live} {
		for _, b := range c.Backends {
			for _, s := range b.Servers {
				seen[key{b.Name, s.Name}] = true
			}
		}
	}
	have = len(seen)
	for _, b := range want.Backends {
		for _, s := range b.Servers {
			delete(seen, key{b.Name, s.Name})
		}
	}
	removed = map[string]int{}
	for k := range seen {
		removed[k.backend]++
	}
	return have, removed
}

func sum(counts map[string]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}
