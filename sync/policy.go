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

// Policy holds the safeguards: limits of what the registry may ask for, and checks of a finished plan.
type Policy struct {
	// MaxRemoval is the share of the managed servers, in percent (1..100), that one pass may remove if there are more than five;
	// 0 means 50.
	MaxRemoval int
	// MaxHosts is the most hosts of a domain that HAProxy gets, MaxDomains the most domains; 0 means 1000 and 20000. What HAProxy
	// already has stays.
	MaxHosts, MaxDomains int
	// AllowMassRemoval confirms a removal that would be held.
	AllowMassRemoval bool
}

// fewServers is how many managed servers there may be so that MaxRemoval does not apply: any of them may go at once, if one stays.
const fewServers = 5

// A HeldError is a plan that a safeguard holds back. Nothing was changed.
type HeldError struct{ Reason string }

func (e *HeldError) Error() string { return "held: " + e.Reason }

// recentRemovals has the servers that became unwanted recently, and when that was first found: many small removals are as bad as one
// large one.
type recentRemovals map[haproxy.ServerKey]time.Time

const (
	// removalWindow is how long a removal counts for the safeguard of later removals.
	removalWindow = time.Minute
	// burstWindow is how long removals count as made together. None of them is then the removal of a single server.
	burstWindow = time.Second
)

// update adds the servers that leave, and drops those that are wanted again and those older than removalWindow.
func (recent recentRemovals) update(leaving []haproxy.ServerKey, want haproxy.Config, now time.Time) {
	for _, s := range leaving {
		if !has(recent, s) {
			recent[s] = now
		}
	}
	for _, b := range want.Backends {
		for _, s := range b.Servers {
			delete(recent, haproxy.ServerKey{Backend: b.Name, Name: s.Name})
		}
	}
	recent.forget(now)
}

func (recent recentRemovals) forget(now time.Time) {
	maps.DeleteFunc(recent, func(_ haproxy.ServerKey, at time.Time) bool { return now.Sub(at) > removalWindow })
}

// removals counts the servers that a pass removes, together with recent removals.
type removals struct {
	// have is the number of managed servers, recently removed ones included.
	have int
	// first counts the servers that this pass is the first to remove, burst those and the ones of the last burstWindow. gone counts
	// all that leave, left recently, or are held back.
	first, burst, gone int
	// expired is set if a server leaves because its lease ended, and not because its keys were deleted.
	expired bool
	// domains are the domains that lose servers with this pass, or lost some recently.
	domains map[string]*share
}

// A share is what removals counts for one domain.
type share struct{ have, gone, first int }

// count counts the removals of a pass and the recent ones.
func (recent recentRemovals) count(leaving []haproxy.ServerKey, have int, now time.Time) removals {
	r := removals{have: have, gone: len(recent), domains: map[string]*share{}}
	for s := range recent {
		r.of(s.Domain()).gone++
	}
	for _, s := range leaving {
		if !has(recent, s) {
			r.first++
			r.of(s.Domain()).gone++
			r.of(s.Domain()).first++
		}
	}
	r.gone += r.first
	r.burst = r.first
	for _, at := range recent {
		if now.Sub(at) < burstWindow {
			r.burst++
		}
	}
	return r
}

func (r removals) of(domain string) *share {
	if r.domains[domain] == nil {
		r.domains[domain] = &share{}
	}
	return r.domains[domain]
}

// check returns a *HeldError if the registry is empty: a wrong prefix, an empty cluster and a lost data directory look the same.
// Otherwise it returns the domains whose removals are held back, each with why: if too many servers leave in total, these are the
// domains that lose too many of theirs. Nothing is held back if only one domain loses servers and others keep theirs.
func (p Policy) check(r removals, keys int) (held map[string]string, err error) {
	if p.AllowMassRemoval || r.first == 0 {
		return nil, nil
	}
	limit := cmp.Or(p.MaxRemoval, 50)
	single := r.burst == 1 && !r.expired
	why := ""
	switch {
	case keys == 0:
		return nil, &HeldError{fmt.Sprintf("the registry has no key below the prefix, but HAProxy has %s (are the prefix and --domains right?)",
			registry.Count(r.have, "managed server"))}
	case r.gone == r.have && r.burst > 1:
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

// others reports whether there are servers in domains that lose none.
func (r removals) others() bool {
	have := 0
	for _, s := range r.domains {
		have += s.have
	}
	return have < r.have
}

// servers counts the servers of each domain in the file and the process, recently removed ones included. leaving are those of them
// that are in the file or the process but not wanted, sorted.
func (recent recentRemovals) servers(want haproxy.Config, st haproxy.State) (have map[string]int, leaving []haproxy.ServerKey) {
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
	for s := range recent {
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
