package sync

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// Policy holds the safeguards: limits of what the registry may ask for, and filters over a finished plan.
type Policy struct {
	// MaxRemoval is the share of the managed servers, in percent (1..100), that one pass may remove where
	// there are more than five; 0 means 50.
	MaxRemoval int
	// MaxHosts is how many hosts of a domain HAProxy gets, MaxDomains how many domains; 0 means 1000 and 20000. What it has
	// already stays.
	MaxHosts, MaxDomains int
	// AllowMassRemoval confirms a removal that would be held.
	AllowMassRemoval bool
}

// fewServers is the number of servers up to which any of them may go at once, as long as one stays.
const fewServers = 5

// A HeldError is a plan that a safeguard holds back. Nothing was touched.
type HeldError struct{ Reason string }

func (e *HeldError) Error() string { return "held: " + e.Reason }

// recentRemovals are when servers were first found to be unwanted, within the last while: many small steps are as bad as one
// big one.
type recentRemovals map[haproxy.ServerKey]time.Time

const (
	// removalWindow is how long a removal counts for the next one's safeguard.
	removalWindow = time.Minute
	// oneMoment is how long removals count as made together: none of them is a single one.
	oneMoment = time.Second
)

// update adds those that leave, drops those that are wanted again, and forgets what is long ago.
func (d recentRemovals) update(leaving []haproxy.ServerKey, want haproxy.Config, now time.Time) {
	for _, s := range leaving {
		if _, known := d[s]; !known {
			d[s] = now
		}
	}
	for _, b := range want.Backends {
		for _, s := range b.Servers {
			delete(d, haproxy.ServerKey{Backend: b.Name, Name: s.Name})
		}
	}
	d.forget(now)
}

func (d recentRemovals) forget(now time.Time) {
	maps.DeleteFunc(d, func(_ haproxy.ServerKey, at time.Time) bool { return now.Sub(at) > removalWindow })
}

// removals are those of a pass, and what went shortly before.
type removals struct {
	// have is the number of managed servers, with those that went shortly before.
	have int
	// first leave with this pass, moment with it or a moment ago, gone with it or shortly before, or are held back.
	first, moment, gone int
	// expired is set when some go because their lease ended, and not because they were deleted.
	expired bool
	// domains are those that lose servers with this pass or lost some shortly before.
	domains map[string]*share
}

// A share is what a domain loses.
type share struct{ have, gone, first int }

// count counts what a pass adds.
func (d recentRemovals) count(leaving []haproxy.ServerKey, have int, now time.Time) removals {
	r := removals{have: have, gone: len(d), domains: map[string]*share{}}
	for s := range d {
		r.of(s).gone++
	}
	for _, s := range leaving {
		if _, known := d[s]; !known {
			r.first++
			r.of(s).gone++
			r.of(s).first++
		}
	}
	r.gone += r.first
	r.moment = r.first
	for _, at := range d {
		if now.Sub(at) < oneMoment {
			r.moment++
		}
	}
	return r
}

func (r removals) of(s haproxy.ServerKey) *share {
	domain := s.Domain()
	if r.domains[domain] == nil {
		r.domains[domain] = &share{}
	}
	return r.domains[domain]
}

// check holds a pass where the registry is empty: an answer of etcd's with nothing in it is what a wrong
// prefix, an empty cluster and a lost data directory look like, too. Else it names the domains whose removals are held back, and
// why: those of which too much goes while too much goes of all together. A domain that loses servers while no other one does is
// not held back.
func (p Policy) check(r removals, keys int) (held map[string]string, err error) {
	if p.AllowMassRemoval || r.first == 0 {
		return nil, nil
	}
	limit := cmp.Or(p.MaxRemoval, 50)
	single := r.moment == 1 && !r.expired
	why := ""
	switch {
	case keys == 0:
		return nil, &HeldError{fmt.Sprintf("the registry has no key below the prefix, but HAProxy has %s (are the prefix and --domains right?)", registry.Count(r.have, "managed server"))}
	case r.gone == r.have && r.moment > 1:
		why = fmt.Sprintf("all %s would be removed", registry.Count(r.have, "managed server"))
	case r.have > fewServers && !single && r.gone*100 > r.have*limit:
		why = fmt.Sprintf("%d of %s would be removed, which is more than %d%%", r.gone, registry.Count(r.have, "managed server"), limit)
	}
	if why == "" || len(r.domains) == 1 && r.gone < r.have && r.others() {
		return nil, nil
	}
	held = map[string]string{}
	for name, s := range r.domains {
		if s.first > 0 && s.gone*100 > s.have*limit {
			held[name] = why
		}
	}
	return held, nil
}

// others reports whether there are servers of domains that lose none.
func (r removals) others() bool {
	have := 0
	for _, s := range r.domains {
		have += s.have
	}
	return have < r.have
}

// sameRegistry holds what comes from a registry that may not be the one that HAProxy was brought in line with: a
// new cluster, or one restored from a backup.
func sameRegistry(earlier, now registry.Snapshot) error {
	switch {
	case earlier.Revision == 0, earlier.Prefix != now.Prefix:
		return nil
	case earlier.ClusterID != now.ClusterID:
		return &HeldError{fmt.Sprintf("etcd is another cluster than before (id %x, was %x) and says something else", now.ClusterID, earlier.ClusterID)}
	case now.Revision < earlier.Revision:
		return &HeldError{fmt.Sprintf("etcd is back at revision %d, was at %d, and says something else", now.Revision, earlier.Revision)}
	}
	return nil
}

// servers are those that the file or the process has, or that went shortly before, by domain, and, sorted, those of them that
// are not wanted.
func (d recentRemovals) servers(want haproxy.Config, st haproxy.State) (have map[string]int, leaving []haproxy.ServerKey) {
	seen := map[haproxy.ServerKey]bool{}
	for _, c := range []haproxy.Config{st.File, st.Live} {
		for _, b := range c.Backends {
			for _, s := range b.Servers {
				seen[haproxy.ServerKey{Backend: b.Name, Name: s.Name}] = true
			}
		}
	}
	have = map[string]int{}
	for s := range seen {
		have[s.Domain()]++
	}
	for s := range d {
		if !seen[s] {
			have[s.Domain()]++
		}
	}
	for _, b := range want.Backends {
		for _, s := range b.Servers {
			delete(seen, haproxy.ServerKey{Backend: b.Name, Name: s.Name})
		}
	}
	return have, slices.SortedFunc(maps.Keys(seen), byServerKey)
}

func byServerKey(a, b haproxy.ServerKey) int {
	return cmp.Or(cmp.Compare(a.Backend, b.Backend), cmp.Compare(a.Name, b.Name))
}
