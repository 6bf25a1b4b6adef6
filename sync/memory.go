package sync

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// memory is what an agent knows between passes. Its loop owns it. A single pass has an empty one.
type memory struct {
	// domains are those of which something is left to do or to remember.
	domains map[string]*domainState
	// confirmed is the snapshot that the last good pass was about. One of another cluster or of an earlier revision is held,
	// unless it says the same.
	confirmed registry.Snapshot
	// reached is the last registry state that a good pass was about; zero before the first one.
	reached position
	// other is why the registry may not be the one that was confirmed; nil where it is. It stays so, whatever revision is
	// reached, until the registry says the same, or HAProxy is in line with it.
	other error
	// worker names the process that was in line after the last pass over everything, or that has loaded what that one wrote; empty
	// where something went wrong since.
	worker string
	// seen is who HAProxy was then.
	seen haproxy.Identity
	// amounts is what is asked for, by domain, and total of all.
	amounts        map[string]amount
	total          amount
	recentRemovals recentRemovals
	overrides      overrides
	// coming are the changes of the registry that the process does not have yet.
	coming arrivals
	// tally is of the last snapshot that was looked at.
	tally tally
	// notes is what the next agent will find.
	notes []byte
}

// A position is how far the registry had got: its revision, and the last change below the prefix.
type position struct{ revision, changed registry.Revision }

func positionOf(s registry.Snapshot) position { return position{s.Revision, s.Changed} }

// waiting is what a domain waits for.
type waiting string

const (
	waitsNot       waiting = ""
	waitsForFile   waiting = "file"
	waitsForReload waiting = "reload"
	waitsForDrain  waiting = "drain"
)

// A domainState is what is remembered of one domain.
type domainState struct {
	// want is what the file is to say, file what it says; the zero Backend is none. They are of use where the domain waits for
	// the file or a reload.
	want, file haproxy.Backend
	// before is what the file said before the process had to wait for it.
	before haproxy.Backend
	waits  waiting
	// since is the last registry state that the process has all of; zero where it lacks nothing.
	since *position
	// unsure is the last registry state that the process has all of for certain, while a reload is at work that has it load the domain
	// as it was; nil where none is.
	unsure *position
	// leaving are the removed servers that the process still has, sorted.
	leaving []string
	// expired are the hosts whose lease ended: there is nothing to drain.
	expired map[string]bool
	// held are the hosts whose removal a safeguard holds back, sorted.
	held []string
	// ownAddress are the hosts at HAProxy's own addresses.
	ownAddress []registry.Problem
	refused    *refusal
	// limited says what the limits leave out, and why; empty where they leave out nothing.
	limited string
	// cooldown is that of its options.
	cooldown cooldown
}

func newMemory() *memory {
	return &memory{domains: map[string]*domainState{}, amounts: map[string]amount{}, recentRemovals: recentRemovals{}, overrides: overrides{}, coming: arrivals{}}
}

// at is the state of a domain, which is remembered from now on.
func (m *memory) at(name string) *domainState {
	d := m.domains[name]
	if d == nil {
		d = &domainState{}
		m.domains[name] = d
	}
	return d
}

// forget drops the domains of which there is nothing to remember.
func (m *memory) forget() {
	now := time.Now()
	maps.DeleteFunc(m.domains, func(_ string, d *domainState) bool {
		return d.waits == waitsNot && !d.lags() && len(d.leaving) == 0 && len(d.expired) == 0 && len(d.held) == 0 && len(d.ownAddress) == 0 && d.refused == nil && d.limited == "" && d.cooldown.forgotten(now)
	})
}

// names are the domains that a condition holds for, sorted.
func (m *memory) names(holds func(*domainState) bool) []string {
	var names []string
	for name, d := range m.domains {
		if holds(d) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// applied is the low watermark: the last registry state of which no domain lacks anything in the process.
func (m *memory) applied() position {
	low := m.reached
	for _, d := range m.domains {
		for _, has := range []*position{d.since, d.unsure} {
			if has != nil && has.revision < low.revision {
				low = *has
			}
		}
	}
	return low
}

// lags reports whether the process lacks something of the domain, or may lack it after the reload that is at work.
func (d *domainState) lags() bool { return d.since != nil || d.unsure != nil }

// leaving are the removed servers that the process still has, sorted.
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

// isLeaving reports whether a change is about a removed server that the process still has.
func (m *memory) isLeaving(c haproxy.Change) bool {
	d := m.domains[c.Domain()]
	return d != nil && slices.Contains(d.leaving, c.Key().Name)
}

// wanted is what file and process are to be brought to, where the registry asks for something.
func (m *memory) wanted(l Layout, asked haproxy.Config, st haproxy.State, scope haproxy.Scope) wanted {
	w := wanted{file: asked, process: withAgentValues(m.overrides.apply(asked), asked, st), refused: map[string]bool{}, retried: map[string]bool{}, delayed: map[string]string{}}
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
		process[name] = haproxy.Backend{Name: live.Name, Options: live.Options, Servers: d.refused.withHeld(run.Servers), Closed: d.refused.file.Closed}
	}
	if len(w.refused) > 0 {
		w.file, w.process = l.withRules(withBackends(w.file, file)), l.withRules(withBackends(w.process, process))
	}
	return w
}

// held reports whether the removals of a domain are held back.
func (m *memory) held() bool {
	return len(m.names((*domainState).isHeld)) > 0
}

func (d *domainState) isHeld() bool { return len(d.held) > 0 }

// postponed reports whether a domain waits for nothing but the time of the next reload.
func (m *memory) postponed() bool {
	return len(m.names(func(d *domainState) bool {
		return d.waits == waitsForReload && d.refused == nil && sameBackend(d.want, d.file)
	})) > 0
}

// names are the domains that a pass may change what is remembered of, sorted.
func (p *pass) names() []string {
	if !p.scope.All() {
		return p.scope.Names()
	}
	names := slices.Concat(slices.Collect(maps.Keys(p.memory.domains)), p.report.Plan.domains(), p.report.Plan.needReload, slices.Collect(maps.Keys(p.held)), slices.Collect(maps.Keys(p.limited)),
		slices.Collect(maps.Keys(p.left)))
	for _, problem := range p.ownAddress {
		names = append(names, problem.Domain)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// others is what is asked for of the domains outside a scope.
func (m *memory) others(scope haproxy.Scope) amount {
	if scope.All() {
		return amount{}
	}
	rest := m.total
	for _, name := range scope.Names() {
		rest = rest.minus(m.amounts[name])
	}
	return rest
}

// observe takes note of what someone set on the socket of a process that was in line.
func (m *memory) observe(want haproxy.Config, st haproxy.State) {
	m.overrides.forget(want)
	if m.worker == "" || m.worker != st.Worker || m.seen.Digest != st.Digest {
		return // a file that was edited by hand says something new
	}
	basis := st.File
	basis.Backends = slices.Clone(st.File.Backends)
	for name, d := range m.domains {
		if d.waits != waitsForFile || d.since != nil || d.want.Name == "" {
			continue
		}
		if i, ok := slices.BinarySearchFunc(basis.Backends, haproxy.Backend{Name: haproxy.BackendName(name)}, byBackend); ok {
			basis.Backends[i] = d.want
		}
	}
	told := want
	told.Backends = slices.DeleteFunc(slices.Clone(want.Backends), func(b haproxy.Backend) bool {
		name, _ := haproxy.DomainOf(b.Name)
		d := m.domains[name]
		return d != nil && (d.since != nil || d.refused != nil) // the process is not as it is to be
	})
	m.overrides.observe(basis, told, st.Live, st.Agents)
}

// drift counts the changes of a plan whose domains the registry says nothing new about.
func (m *memory) drift(plan Plan, snapshot registry.Snapshot) int {
	if m.worker == "" {
		return 0
	}
	drift := map[haproxy.Change]bool{}
	for _, a := range plan.Actions {
		name := a.Change.Domain()
		if d := m.domains[name]; d != nil && (d.waits != waitsNot || d.since != nil || d.refused != nil) {
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
	i, ok := slices.BinarySearchFunc(s.Domains, name, func(d registry.Domain, name string) int { return cmp.Compare(d.Name, name) })
	if !ok {
		return registry.Domain{}, false
	}
	return s.Domains[i], true
}

// removals are those of a pass; have is the number of managed servers, with those that went shortly before.
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

// expire takes note of hosts whose lease ended, as "domain/host", and forgets those that are there again.
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
