package sync

import (
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// memory is what an agent knows between passes. Its loop owns it. A single pass starts with an empty one.
type memory struct {
	// domains are the domains with something to do or to remember.
	domains map[string]*domainState
	// confirmed is the snapshot of the last successful pass. One of another cluster or an earlier revision is held, unless it says the same.
	confirmed registry.Snapshot
	// reached is the registry state of the last successful pass; zero before the first one.
	reached position
	// otherRegistry says why the registry may not be the confirmed one; nil if it is. It stays, whatever the revision, until the registry
	// says the same or HAProxy is in sync with it.
	otherRegistry error
	// otherCluster is the cluster of that registry.
	otherCluster uint64
	// worker is the process that was in sync after the last pass over everything, or has loaded what that wrote; empty after a failure.
	worker string
	// identity is HAProxy's as the agent left it.
	identity haproxy.Identity
	// amounts is what the registry asks for, by domain, and total is their sum.
	amounts        map[string]amount
	total          amount
	recentRemovals recentRemovals
	overrides      overrides
	unapplied      unappliedChanges
	counts         snapshotCounts // of the last snapshot
	notes          []byte         // as in the file
	saved          savedNotes
}

// A position is a state of the registry: its revision, and the last change below the prefix.
type position struct{ revision, changed registry.Revision }

func positionOf(s registry.Snapshot) position { return position{s.Revision, s.Changed} }

// waiting is what a domain waits for.
type waiting string

const (
	waitsForNothing waiting = ""
	waitsForFile    waiting = "file"
	waitsForReload  waiting = "reload"
	waitsForDrain   waiting = "drain"
)

// A domainState is what an agent remembers of one domain.
type domainState struct {
	// want is what the file should say, file what it says; the zero Backend is none. They count only while the domain waits for the deployer.
	want, file haproxy.Backend
	// before is what the file said before the process began to wait for it.
	before haproxy.Backend
	waits  waiting
	// lacksSince is the last registry state that the process has completely; nil if it lacks nothing.
	lacksSince *position
	// mayLackSince is the same for after the current reload, if that loads an earlier state of the domain, and for after the next one, if the
	// file has not had the domain yet; else nil.
	mayLackSince *position
	// leaving are the removed servers that the process still has, sorted.
	leaving []string
	// expired are the hosts whose lease has ended: their servers need no drain.
	expired map[string]bool
	// held are the hosts whose removal a safeguard holds back, sorted.
	held []string
	// ownAddress are the hosts at HAProxy's own addresses.
	ownAddress []registry.Problem
	refused    *refusal
	// limited says what the limits leave out, and why; empty if nothing.
	limited  string
	cooldown cooldown // of its options
}

func newMemory() *memory {
	return &memory{
		domains: map[string]*domainState{}, amounts: map[string]amount{},
		recentRemovals: recentRemovals{}, overrides: overrides{}, unapplied: unappliedChanges{},
	}
}

// at returns the state of a domain, and adds it if there is none.
func (m *memory) at(name string) *domainState {
	d := m.domains[name]
	if d == nil {
		d = &domainState{}
		m.domains[name] = d
	}
	return d
}

// forget drops the domains with nothing to do or to remember.
func (m *memory) forget() {
	now := time.Now()
	m.domains = without(m.domains, func(_ string, d *domainState) bool {
		idle := d.waits == waitsForNothing && !d.lags() && !d.isDraining()
		remembered := d.isHeld() || d.refused != nil || d.limited != "" || len(d.expired) > 0 || len(d.ownAddress) > 0 || !d.cooldown.forgotten(now)
		return idle && !remembered
	})
}

// without deletes entries from a map and returns it; a smaller one if most entries are gone. A Go map never shrinks, and a walk through
// it costs what it once held: all domains, after the first pass.
func without[M ~map[K]V, K comparable, V any](m M, drop func(K, V) bool) M {
	had := len(m)
	maps.DeleteFunc(m, drop)
	if len(m) > had/2 {
		return m
	}
	rest := make(M, len(m))
	maps.Copy(rest, m)
	return rest
}

func (m *memory) hasDomainWhere(holds func(*domainState) bool) bool {
	for _, d := range m.domains {
		if holds(d) {
			return true
		}
	}
	return false
}

// domainsWhere are the domains for which a condition holds, sorted.
func (m *memory) domainsWhere(holds func(*domainState) bool) []string {
	var names []string
	for name, d := range m.domains {
		if holds(d) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// applied is the low watermark: the last registry state that the process has completely, of all domains.
func (m *memory) applied() position {
	low := m.reached
	for _, d := range m.domains {
		for _, has := range []*position{d.lacksSince, d.mayLackSince} {
			if has != nil && has.revision < low.revision {
				low = *has
			}
		}
	}
	return low
}

// lags reports whether the process lacks something of the domain, or may lack it after a reload.
func (d *domainState) lags() bool { return d.lacksSince != nil || d.mayLackSince != nil }

func (d *domainState) isDraining() bool { return len(d.leaving) > 0 }

func (d *domainState) isHeld() bool { return len(d.held) > 0 }

func (d *domainState) waitsForDeployer() bool {
	return d.waits == waitsForFile || d.waits == waitsForReload
}

// isUnwritten reports whether the process has all of the domain, removals that are held aside, and the file does not.
func (d *domainState) isUnwritten() bool {
	return d.waits == waitsForFile && (d.lacksSince == nil || d.isHeld())
}

// isUnchecked reports whether haproxy -c has not seen the domain in the file yet. If the process has it already, and haproxy -c refuses it,
// the next reload loses it.
func (d *domainState) isUnchecked() bool { return d.want.Name != "" && d.file.Name == "" }

// isPostponed reports whether the domain waits only for the time of the next reload.
func (d *domainState) isPostponed() bool {
	return d.waits == waitsForReload && d.refused == nil && sameBackend(d.want, d.file)
}

// retryAt is when a refused change is tried again; zero if there is none, or the retry is under way.
func (d *domainState) retryAt() time.Time {
	if d.refused == nil || d.refused.retrying {
		return time.Time{}
	}
	return d.refused.retry.at
}

// cooldownEnds is when an option that waits may ask for a reload; zero if none waits.
func (d *domainState) cooldownEnds() time.Time {
	if d.cooldown.key == "" {
		return time.Time{}
	}
	return d.cooldown.until
}

// leaving is sorted.
func (m *memory) leaving() []haproxy.ServerKey {
	var all []haproxy.ServerKey
	for name, d := range m.domains {
		for _, s := range d.leaving {
			all = append(all, haproxy.ServerKey{Backend: haproxy.BackendName(name), Name: s})
		}
	}
	slices.SortFunc(all, byServerKey)
	return all
}

func (m *memory) isLeaving(c haproxy.Change) bool {
	d := m.domains[c.Domain()]
	return d != nil && slices.Contains(d.leaving, c.Key().Name)
}

// wanted is what the file and the process should be: what the registry asks for, with overrides, refusals and delayed options.
func (m *memory) wanted(l Layout, asked haproxy.Config, st haproxy.State, scope haproxy.Scope) wanted {
	w := wanted{
		file: asked, process: withAgentValues(m.overrides.apply(asked), asked, st),
		refused: map[string]bool{}, retried: map[string]bool{}, delayed: map[string]string{},
	}
	now := time.Now()
	file, process := map[string]haproxy.Backend{}, map[string]haproxy.Backend{}
	for name, d := range m.domains {
		if d.refused == nil && now.Before(d.cooldown.until) && scope.Has(name) {
			w.delayOptions(name, st, file, process)
		}
		if d.refused == nil || !scope.Has(name) {
			continue
		}
		is, _ := backendOf(asked, name)
		if !d.refused.holds(is, now) {
			w.retried[name] = d.refused.reload
			continue
		}
		w.refused[name] = true
		file[name] = d.refused.file
		run, wanted := backendOf(w.process, name)
		if !wanted && len(d.refused.hosts) == 0 { // HAProxy needs the domain as it is
			run = d.refused.file
		}
		live, _ := backendOf(st.Live, name)
		process[name] = haproxy.Backend{
			Name: live.Name, Options: live.Options, Servers: d.refused.withHeld(run.Servers), Closed: d.refused.file.Closed,
		}
	}
	if len(w.refused) > 0 {
		w.file, w.process = l.withRules(withBackends(w.file, file)), l.withRules(withBackends(w.process, process))
	}
	return w
}

func (m *memory) held() bool { return m.hasDomainWhere((*domainState).isHeld) }

// amountOutside is what the registry asks for of the domains outside a scope.
func (m *memory) amountOutside(scope haproxy.Scope) amount {
	if scope.All() {
		return amount{}
	}
	rest := m.total
	for _, name := range scope.Names() {
		rest = rest.minus(m.amounts[name])
	}
	return rest
}

// observe finds what an operator has set on the socket of a process that was in sync.
func (m *memory) observe(want haproxy.Config, st haproxy.State) {
	m.overrides.forget(want)
	if m.worker == "" || m.worker != st.Worker || m.identity.Digest != st.Digest {
		return // an edit of the file is no override
	}
	basis := st.File
	basis.Backends = slices.Clone(st.File.Backends)
	for name, d := range m.domains {
		if !d.isUnwritten() || d.want.Name == "" {
			continue
		}
		if i, ok := slices.BinarySearchFunc(basis.Backends, haproxy.Backend{Name: haproxy.BackendName(name)}, byBackend); ok {
			basis.Backends[i] = d.want
		}
	}
	settled := want
	settled.Backends = slices.DeleteFunc(slices.Clone(want.Backends), func(b haproxy.Backend) bool {
		name, _ := haproxy.DomainOf(b.Name)
		d := m.domains[name]
		return d != nil && (d.lacksSince != nil || d.refused != nil) // the process differs for another reason
	})
	m.overrides.observe(basis, settled, st.Live, st.Agents)
}

// drift counts the planned changes of domains for which the registry says nothing new.
func (m *memory) drift(plan Plan, snapshot registry.Snapshot) int {
	if m.worker == "" {
		return 0
	}
	drift := map[haproxy.Change]bool{}
	for _, a := range plan.Actions {
		name := a.Change.Domain()
		if d := m.domains[name]; d != nil && (d.waits != waitsForNothing || d.lacksSince != nil || d.refused != nil) {
			continue
		}
		was, _ := domainOf(m.confirmed, name)
		if is, _ := domainOf(snapshot, name); was.Equal(is) {
			drift[a.Change] = true
		}
	}
	return len(drift)
}

func domainOf(s registry.Snapshot, name string) (registry.Domain, bool) {
	i, ok := slices.BinarySearchFunc(s.Domains, name, (*registry.Domain).CompareName)
	if !ok {
		return registry.Domain{}, false
	}
	return *s.Domains[i], true
}

// removals are those of a pass; have is the number of managed servers, with those that were removed shortly before.
func (m *memory) removals(leaving []haproxy.ServerKey, have int, scope haproxy.Scope) removals {
	r := m.recentRemovals.count(leaving, have, time.Now())
	for name, d := range m.domains {
		if !scope.Has(name) && len(d.held) > 0 {
			r.gone += len(d.held)
			r.of(name).gone += len(d.held)
		}
	}
	for _, s := range leaving {
		r.expired = r.expired || m.hasExpired(s.Domain(), s.Name)
	}
	return r
}

func (m *memory) hasExpired(domain, host string) bool {
	d := m.domains[domain]
	return d != nil && d.expired[host]
}

// markExpired marks the removals of hosts whose lease ended.
func (m *memory) markExpired(plan Plan) Plan {
	for i, a := range plan.Actions {
		if remove, ok := a.Change.(haproxy.RemoveServer); ok && m.hasExpired(remove.Domain(), remove.Server.Name) {
			remove.Dead = true
			plan.Actions[i].Change = remove
		}
	}
	return plan
}

// expire records the hosts whose lease has ended, as "domain/host", and forgets those that are registered again.
func (m *memory) expire(hosts map[string]bool, snapshot registry.Snapshot) {
	for path := range hosts {
		domain, host := cutPath(path)
		d := m.at(domain)
		if d.expired == nil {
			d.expired = map[string]bool{}
		}
		d.expired[host] = true
	}
	for name, d := range m.domains {
		if len(d.expired) == 0 {
			continue
		}
		now, _ := domainOf(snapshot, name)
		for _, h := range now.Hosts {
			delete(d.expired, h.Name)
		}
	}
}
