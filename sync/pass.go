package sync

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// Process is HAProxy's running process. One goroutine owns it: the caller of a Syncer, or the loop of an agent. A method without an
// error has read its effect back.
type Process interface {
	Looker
	// Cached is the State of a scope as last read by State or Run; not ok if it is not known or a file has changed since.
	Cached(scope haproxy.Scope) (st haproxy.State, ok bool)
	// Look prepares a look at everything: at what HAProxy no longer is as State and Run read it last. Any goroutine may call the function
	// that it returns, also while the owner goes on.
	Look(ctx context.Context) (look func(context.Context) (haproxy.Look, error), err error)
	// Forget makes the next State of some domains read all of them.
	Forget(domains ...string)
	// Run makes changes of servers, and of the backends and rules that State.Dynamic says can change.
	Run(ctx context.Context, changes []haproxy.Change) (haproxy.Outcome, error)
}

// A pass compares the registry with HAProxy, over a scope, and applies the difference.
type pass struct {
	cfg      Config
	memory   *memory // of an agent; an empty one for a single pass
	scope    haproxy.Scope
	snapshot registry.Snapshot // zero if the registry could not be read
	counts   snapshotCounts
	state    haproxy.State
	// whole is state with what is left alone.
	whole haproxy.State
	// asked is what the registry asks for; want is what the file and the process should be.
	asked haproxy.Config
	want  wanted
	// limited says by domain why the limits leave something out.
	limited map[string]string
	// made are the changes that were sent to the process, and outcome is their result.
	made    []haproxy.Change
	outcome haproxy.Outcome
	// ran are those of them that were sent without an error.
	ran []haproxy.Change
	// filed is the result of the job, for a single pass; nil before it, or if the file could not be read after it.
	filed *result
	// ownAddress are the hosts of the scope at HAProxy's own addresses.
	ownAddress []registry.Problem
	// deferred are the domains with changes that a later pass makes.
	deferred map[string]bool
	// held are the hosts whose removal is held back, by domain.
	held   map[string][]string
	report Report
	// planWithHeld is the plan as it was before removals were held back; zero if none are.
	planWithHeld Plan
}

// compare computes what is wanted of the scope, and the plan for it.
func (p *pass) compare(st haproxy.State) {
	p.whole = st
	st = leaveAlone(st, p.snapshot)
	p.state = st
	p.report = newReport(p.counts)
	p.report.Compared, p.report.Down = true, st.Down
	p.report.Version, p.report.OldWorkers = st.Capabilities.Version, st.OldWorkers
	p.asked, p.ownAddress = p.cfg.Layout.Desired(partOf(p.snapshot, p.scope), st)
	problems := slices.Concat(LeftAlone(p.snapshot, st.Foreign), LeftAloneHosts(p.snapshot, st.NotOurs), p.ownAddress)
	p.asked = withoutTakenAliases(p.asked, p.snapshot)
	if p.asked, p.limited = p.cfg.Policy.limit(p.asked, st, p.memory.amountOutside(p.scope)); len(p.limited) > 0 {
		p.asked = p.cfg.Layout.withRules(p.asked)
	}
	for domain, why := range p.limited {
		problems = append(problems, limitProblem(p.snapshot.Prefix, domain, why))
	}
	p.report.Agents = agentChecked(p.asked, st)
	p.want = p.memory.wanted(p.cfg.Layout, p.asked, st, p.scope)
	problems = append(problems, p.memory.leftOut(p.snapshot.Prefix, p.scope, p.want.refused)...)
	for domain, key := range p.want.delayed {
		problems = append(problems, p.memory.domains[domain].cooldown.withKey(key).problem(p.snapshot.Prefix, domain))
	}
	p.report.addProblems(problems)
	p.report.Plan = p.plan(st)
	p.report.Warnings = slices.Concat(st.Warnings, lostParams(st.File, p.report.Plan.edits()))
	if p.cfg.ForceRewrite && p.report.Plan.Rewrite == "" {
		p.report.Plan = p.report.Plan.rewritten("--rewrite asks for it")
	}
}

// compareAfter compares, and once more if update has then changed the overrides.
func (p *pass) compareAfter(update func(), st haproxy.State) {
	p.compare(st)
	before := maps.Clone(p.memory.overrides)
	if update(); !maps.Equal(before, p.memory.overrides) {
		p.compare(st)
	}
}

func (p *pass) plan(st haproxy.State) Plan { return p.memory.markExpired(newPlan(p.want, st)) }

// check asks the safeguards. They hold back the whole plan, with an error, or the removals of some domains. An empty plan passes: it
// proves that nothing is wrong.
func (p *pass) check() error {
	of, leaving := p.memory.recentRemovals.servers(p.asked, p.state)
	have := 0
	for _, n := range of {
		have += n
	}
	if !p.scope.All() {
		have = p.memory.total.servers + len(p.memory.recentRemovals)
	}
	p.report.leaving = leaving
	if p.report.Plan.Empty() || p.cfg.Policy.AllowMassRemoval {
		return nil
	}
	if p.memory.otherRegistry != nil && p.differs() {
		return p.memory.otherRegistry
	}
	r := p.memory.removals(leaving, have, p.scope)
	for name, s := range r.domains {
		s.have = max(of[name], s.gone)
	}
	held, err := p.cfg.Policy.check(r, p.snapshot.Keys)
	if err == nil && len(held) > 0 {
		p.holdRemovals(held)
	}
	return err
}

// holdRemovals keeps the servers of some domains that the registry no longer has. held says why, by domain.
func (p *pass) holdRemovals(held map[string]string) {
	var leaving []haproxy.ServerKey
	p.held = map[string][]string{}
	kept := map[string]haproxy.Backend{}
	for _, s := range p.report.leaving {
		domain := s.Domain()
		if held[domain] == "" {
			leaving = append(leaving, s)
			continue
		}
		p.held[domain] = append(p.held[domain], s.Name)
		file, _ := backendOf(p.state.File, domain)
		live, _ := backendOf(p.state.Live, domain)
		server, ok := lastGood(s.Name, true, file, live)
		if !ok {
			continue
		}
		b, begun := kept[domain]
		if !begun {
			b = p.askedOr(domain, file, live)
		}
		b.Servers = append(b.Servers, server)
		kept[domain] = b
	}
	for _, b := range kept {
		slices.SortFunc(b.Servers, byServer)
	}
	p.asked = withoutTakenAliases(withBackends(p.asked, kept), p.snapshot)
	p.asked = p.cfg.Layout.withRules(p.asked)
	names := slices.Sorted(maps.Keys(p.held))
	p.planWithHeld = p.report.Plan
	p.want = p.memory.wanted(p.cfg.Layout, p.asked, p.state, p.scope)
	p.report.Plan = p.plan(p.state)
	p.report.leaving = leaving
	p.report.Held = fmt.Sprintf("%s; those of %s are held back", held[names[0]], nameSome(names))
}

// askedOr is a copy of what the registry asks for of a domain; if that is nothing, HAProxy's backend without servers.
func (p *pass) askedOr(domain string, file, live haproxy.Backend) haproxy.Backend {
	b, asked := backendOf(p.asked, domain)
	if !asked {
		b = haproxy.Backend{Name: haproxy.BackendName(domain), Options: file.Options}
		if file.Name == "" {
			b.Options = live.Options
		}
	}
	b.Servers = slices.Clone(b.Servers)
	return b
}

// nameSome lists the first names, and says how many more there are.
func nameSome(names []string) string {
	if more := len(names) - namedReasons; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:namedReasons], ", "), more)
	}
	return strings.Join(names, ", ")
}

func (p *pass) run(ctx context.Context, changes []haproxy.Change) error {
	if len(changes) == 0 {
		return nil
	}
	out, err := p.cfg.Process.Run(ctx, changes)
	p.made = append(p.made, changes...)
	p.outcome.Refused = append(p.outcome.Refused, out.Refused...)
	p.outcome.Draining = append(p.outcome.Draining, out.Draining...)
	p.outcome.Staying = append(p.outcome.Staying, out.Staying...)
	for _, f := range out.Refused {
		p.report.Refused = append(p.report.Refused, fmt.Sprintf("%s: %s", f.Change, f.Reply))
	}
	p.report.Draining = len(p.outcome.Draining)
	if err == nil {
		p.ran = append(p.ran, changes...)
	}
	return err
}

// applyCached sends the changes of servers that follow from the cache, so that traffic moves before HAProxy is read, and compares what
// Run has read back. If more than servers change, a safeguard objects or something is left to do in the process, it is not ok, and
// HAProxy has to be read. p.made has what was sent.
func (p *pass) applyCached(ctx context.Context) (ok bool) {
	st, known := p.cfg.Process.Cached(p.scope)
	if !known {
		return false
	}
	p.compareAfter(func() { p.memory.overrides.forget(p.asked) }, st)
	plan := p.report.Plan
	changes := plan.changes(ViaRuntime)
	if len(changes) == 0 || len(changes) > maxRun || plan.waits() || slices.ContainsFunc(changes, p.memory.isLeaving) {
		return false
	}
	if err := p.check(); err != nil || len(p.held) > 0 {
		p.held, p.planWithHeld = nil, Plan{}
		return false
	}
	if err := p.run(context.WithoutCancel(ctx), changes); err != nil || len(p.outcome.Refused) > 0 {
		return false
	}
	if p.state, known = p.cfg.Process.Cached(p.scope); !known {
		return false
	}
	p.state = leaveAlone(p.state, p.snapshot)
	rest := p.plan(p.state)
	return !rest.waits() && len(rest.changes(ViaRuntime)) == 0
}

// waits reports whether a domain of the plan has to wait for the file or a reload.
func (p Plan) waits() bool { return len(p.Reload) > 0 || len(p.structural()) > 0 }

// partialTimeout bounds the reading of some domains, if HAProxy is busy or stopped.
const partialTimeout = 3 * time.Second

// read reads the scope from HAProxy and compares it.
func (p *pass) read(ctx context.Context) error {
	if !p.scope.All() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, partialTimeout)
		defer cancel()
	}
	st, err := p.cfg.Process.State(ctx, p.scope)
	if err != nil {
		p.state = haproxy.State{}
		return err
	}
	p.outcome, p.report.Refused = haproxy.Outcome{}, nil
	p.compareAfter(func() { p.memory.observe(p.asked, st) }, st)
	p.report.Drift = p.memory.drift(p.report.Plan, p.snapshot)
	return nil
}

// apply makes the changes in the process that need not wait for the file. A *HeldError means that nothing was changed.
func (p *pass) apply(ctx context.Context) error {
	if !p.scope.All() && p.applyCached(ctx) {
		p.report.Plan = p.plan(p.state).withMade(p.made)
		return nil
	}
	made := p.made
	p.made = nil
	defer func() { p.made = slices.Concat(made, p.made) }()
	if err := p.read(ctx); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	if p.scope.All() {
		if err := p.claim(); err != nil {
			return err
		}
	}
	if p.state.Down == nil {
		if err := p.run(context.WithoutCancel(ctx), p.slice(p.report.Plan.early())); err != nil {
			return err
		}
	}
	p.report.Plan = p.report.Plan.withMade(made)
	return nil
}

// differs reports whether HAProxy differs from the registry, overrides of operators aside.
func (p *pass) differs() bool {
	want := wanted{
		file: p.asked, process: withAgentValues(p.asked, p.asked, p.state), refused: p.want.refused, retried: p.want.retried,
	}
	return !newPlan(want, p.state).Empty()
}

// accepted are the changes that were sent and that HAProxy did not refuse.
func (p *pass) accepted() []haproxy.Change {
	return slices.DeleteFunc(slices.Clone(p.made), func(c haproxy.Change) bool {
		return slices.ContainsFunc(p.outcome.Refused, func(f haproxy.Failure) bool { return f.Change == c })
	})
}

const (
	// maxRun is how many changes one pass makes in the process. Later passes make the others, together with what is new by then.
	maxRun = 1000
	// maxWhole is the most changes of a domain that are not split between passes. A new domain that is only begun costs more to complete.
	maxWhole = 10
)

// slice returns the changes for this pass, and takes the others out of the plan. Domains with few changes come first.
func (p *pass) slice(changes []haproxy.Change) []haproxy.Change {
	if len(changes) <= maxRun {
		return changes
	}
	of := map[string]int{}
	for _, c := range changes {
		of[c.Domain()]++
	}
	slices.SortStableFunc(changes, func(a, b haproxy.Change) int {
		return cmp.Or(cmp.Compare(of[a.Domain()], of[b.Domain()]), cmp.Compare(a.Domain(), b.Domain()))
	})
	end := maxRun
	for last := changes[end-1].Domain(); of[last] <= maxWhole && end < len(changes) && changes[end].Domain() == last; {
		end++
	}
	later := map[haproxy.Change]bool{}
	p.deferred = map[string]bool{}
	for _, c := range changes[end:] {
		later[c], p.deferred[c.Domain()] = true, true
	}
	_, p.report.Plan = p.report.Plan.split(func(a Action) bool { return a.Via == ViaRuntime && later[a.Change] })
	return changes[:end]
}

// partOf is the part of a snapshot within a scope.
func partOf(snapshot registry.Snapshot, scope haproxy.Scope) registry.Snapshot {
	if scope.All() {
		return snapshot
	}
	part := snapshot
	part.Domains, part.Problems = nil, nil
	for _, p := range snapshot.Problems {
		if scope.Has(p.Domain) {
			part.Problems = append(part.Problems, p) // also of hosts with invalid names
		}
	}
	for _, name := range scope.Names() {
		if d, ok := domainOf(snapshot, name); ok {
			part.Domains = append(part.Domains, &d)
		}
	}
	return part
}

// job is what the deployer has to do for the pass.
func (p *pass) job() job {
	plan := p.report.Plan
	j := job{
		layout: p.cfg.Layout, scope: p.scope, base: p.state.Digest, worker: p.state.Worker,
		want: p.want.file, rewrite: plan.Rewrite, tracked: trackedIn(p.state.Needed),
		late: plan.needReload, options: plan.options, reload: len(plan.Reload) > 0,
		report: &p.report, began: time.Now(), before: map[string]haproxy.Backend{},
	}
	for _, f := range p.outcome.Refused {
		j.late, j.reload = append(j.late, f.Change.Domain()), true
	}
	slices.Sort(j.late)
	j.late = slices.Compact(j.late)
	for _, name := range j.late {
		j.before[name] = p.before(name)
	}
	return j
}

// before is what the file said of a domain when HAProxy loaded it last, as far as is known.
func (p *pass) before(name string) haproxy.Backend {
	if d := p.memory.domains[name]; d != nil && d.lacksSince != nil {
		return d.before
	}
	file, _ := backendOf(p.state.File, name)
	want, _ := backendOf(p.want.file, name)
	if sameBackend(file, want) {
		live, _ := backendOf(p.state.Live, name)
		return live
	}
	return file
}
