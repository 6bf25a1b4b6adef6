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

// Process is HAProxy's running process. One goroutine owns it: that of a Syncer's caller, or an agent's loop. Its methods
// return when their effect is there and has been read back, or an error.
type Process interface {
	Looker
	// Cached is the State of a scope as State or Run read it last; it is not ok where that is not known, or a file has
	// changed since.
	Cached(scope haproxy.Scope) (st haproxy.State, ok bool)
	// Run makes changes of servers, and of the backends and rules that State.Dynamic says can change.
	Run(ctx context.Context, changes []haproxy.Change) (haproxy.Outcome, error)
}

// A pass is one comparison of the registry with HAProxy, over a scope, and what follows from it.
type pass struct {
	cfg      Config
	memory   *memory // of an agent; an empty one for a single pass
	scope    haproxy.Scope
	snapshot registry.Snapshot // the registry; zero where it could not be read
	tally    tally
	state    haproxy.State
	// asked is what the registry asks for, want what the file and the process are brought to.
	asked haproxy.Config
	want  wanted
	// limited are the domains of which the limits leave something out, and why.
	limited map[string]string
	// made are the changes that were sent to the process, and outcome what became of them.
	made    []haproxy.Change
	outcome haproxy.Outcome
	// ownAddress are the hosts of the scope at HAProxy's own addresses.
	ownAddress []registry.Problem
	// left are the domains of which changes are left to the next pass.
	left map[string]bool
	// held are the hosts whose removal is held back, by domain.
	held   map[string][]string
	report Report
	// unheld is the plan with what is held back; zero where nothing is.
	unheld Plan
}

// compare begins a pass: what is wanted of the scope, and the plan for it.
func (p *pass) compare(st haproxy.State) {
	p.state = st
	p.report = newReport(p.tally)
	p.report.Compared, p.report.Down = true, st.Down
	p.report.Version, p.report.OldWorkers, p.report.Warnings = st.Capabilities.Version, st.OldWorkers, st.Warnings
	p.report.addProblems(slices.Concat(LeftAlone(p.snapshot, st.Foreign), LeftAloneHosts(p.snapshot, st.NotOurs)))
	p.asked, p.ownAddress = p.cfg.Layout.Desired(only(p.snapshot, p.scope), st)
	p.report.addProblems(p.ownAddress)
	p.asked = withoutTakenAliases(p.asked, p.snapshot)
	if p.asked, p.limited = p.cfg.Policy.limit(p.asked, st, p.memory.others(p.scope)); len(p.limited) > 0 {
		p.asked = p.cfg.Layout.withRules(p.asked)
	}
	for domain, why := range p.limited {
		p.report.addProblems([]registry.Problem{limitProblem(p.snapshot.Prefix, domain, why)})
	}
	p.report.Agents = agentChecked(p.asked, st)
	p.want = p.memory.wanted(p.cfg.Layout, p.asked, st, p.scope)
	p.report.addProblems(p.memory.leftOut(p.snapshot.Prefix, p.scope, p.want.refused))
	for domain, key := range p.want.delayed {
		p.report.addProblems([]registry.Problem{p.memory.domains[domain].cooldown.withKey(key).problem(p.snapshot.Prefix, domain)})
	}
	p.report.Plan = p.plan(st)
	edits := Diff(st.File, p.want.file)
	p.report.Warnings = slices.Concat(st.Warnings, lostParams(st.File, edits))
	if p.cfg.ForceRewrite && p.report.Plan.Rewrite == "" {
		p.report.Plan = p.report.Plan.rewritten("--rewrite asks for it")
	}
}

// plan is what is to be done in a state.
func (p *pass) plan(st haproxy.State) Plan { return p.memory.markExpired(newPlan(p.want, st)) }

// check holds a plan that a safeguard objects to, or the removals of some domains. A plan with nothing in it proves that
// nothing is wrong.
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
	if p.memory.other != nil && p.differs() {
		return p.memory.other
	}
	r := p.memory.removals(leaving, have, p.scope)
	for name, s := range r.domains {
		s.have = max(of[name], s.gone)
	}
	held, err := p.cfg.Policy.check(r, p.snapshot.Keys)
	if err == nil && len(held) > 0 {
		p.withhold(held)
	}
	return err
}

// withhold keeps the servers of some domains that the registry has no more, as they are.
func (p *pass) withhold(held map[string]string) {
	var left []haproxy.ServerKey
	p.held = map[string][]string{}
	stay := map[string]haproxy.Backend{}
	for _, s := range p.report.leaving {
		domain := s.Domain()
		if held[domain] == "" {
			left = append(left, s)
			continue
		}
		p.held[domain] = append(p.held[domain], s.Name)
		file, _ := backendOf(p.state.File, domain)
		live, _ := backendOf(p.state.Live, domain)
		server, ok := lastGood(s.Name, true, file, live)
		if !ok {
			continue
		}
		b, begun := stay[domain]
		if !begun {
			if b, begun = backendOf(p.asked, domain); !begun {
				b = haproxy.Backend{Name: s.Backend, Options: file.Options}
				if file.Name == "" {
					b.Options = live.Options
				}
			}
			b.Servers = slices.Clone(b.Servers)
		}
		b.Servers = append(b.Servers, server)
		stay[domain] = b
	}
	for _, b := range stay {
		slices.SortFunc(b.Servers, byServer)
	}
	p.asked = withoutTakenAliases(withBackends(p.asked, stay), p.snapshot)
	p.asked = p.cfg.Layout.withRules(p.asked)
	names := slices.Sorted(maps.Keys(p.held))
	p.unheld = p.report.Plan
	p.want = p.memory.wanted(p.cfg.Layout, p.asked, p.state, p.scope)
	p.report.Plan = p.plan(p.state)
	p.report.leaving = left
	p.report.Held = fmt.Sprintf("%s; those of %s are held back", held[names[0]], nameSome(names))
}

// nameSome names some of many.
func nameSome(names []string) string {
	if more := len(names) - namedReasons; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:namedReasons], ", "), more)
	}
	return strings.Join(names, ", ")
}

// run makes changes in the process.
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
	return err
}

// cached makes the changes of servers that follow from the cache, so that traffic moves before HAProxy has been read, and
// then compares what Run has read back. It is not ok where that leaves anything to do in the process, more is to be done than servers
// that come, change or go, or a safeguard objects: then a pass that reads HAProxy is to follow. made are the changes that were sent.
func (p *pass) cached(ctx context.Context) (ok bool) {
	st, known := p.cfg.Process.Cached(p.scope)
	if !known {
		return false
	}
	p.compare(st)
	p.memory.overrides.forget(p.asked)
	p.compare(st)
	plan := p.report.Plan
	changes := plan.changes(ViaRuntime)
	if len(changes) == 0 || len(changes) > maxRun || plan.waits() || slices.ContainsFunc(changes, p.memory.isLeaving) {
		return false
	}
	if err := p.check(); err != nil || len(p.held) > 0 {
		p.held, p.unheld = nil, Plan{}
		return false
	}
	if err := p.run(context.WithoutCancel(ctx), changes); err != nil || len(p.outcome.Refused) > 0 {
		return false
	}
	if p.state, known = p.cfg.Process.Cached(p.scope); !known {
		return false
	}
	rest := p.plan(p.state)
	return !rest.waits() && len(rest.changes(ViaRuntime)) == 0
}

// waits reports whether a domain of the plan has to wait for the file or a reload.
func (p Plan) waits() bool { return len(p.Reload) > 0 || len(p.structural()) > 0 }

// partialPatience bounds the reading of some domains: it does not wait for a HAProxy that is busy or stopped.
const partialPatience = 3 * time.Second

// read reads the scope from HAProxy.
func (p *pass) read(ctx context.Context) error {
	if !p.scope.All() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, partialPatience)
		defer cancel()
	}
	st, err := p.cfg.Process.State(ctx, p.scope)
	if err != nil {
		p.state = haproxy.State{}
		return err
	}
	p.outcome, p.report.Refused = haproxy.Outcome{}, nil
	p.compare(st)
	p.memory.observe(p.asked, st)
	p.compare(st)
	p.report.Drift = p.memory.drift(p.report.Plan, p.snapshot)
	return nil
}

// byProcess is what a pass does in the process: what does not wait for the file. A *HeldError means that nothing was touched.
func (p *pass) byProcess(ctx context.Context) error {
	if !p.scope.All() && p.cached(ctx) {
		p.report.Plan = p.plan(p.state).withMade(p.made)
		return nil
	}
	made := p.made
	p.made = nil
	if err := p.read(ctx); err != nil {
		p.made = made
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
	p.made = slices.Concat(made, p.made)
	return nil
}

// differs reports whether HAProxy differs from the registry in more than in what operators have set on its socket.
func (p *pass) differs() bool {
	return !newPlan(wanted{file: p.asked, process: withAgentValues(p.asked, p.asked, p.state), refused: p.want.refused, retried: p.want.retried}, p.state).Empty()
}

// taken are the changes that the pass has made and HAProxy has not refused.
func (p *pass) taken() []haproxy.Change {
	return slices.DeleteFunc(slices.Clone(p.made), func(c haproxy.Change) bool {
		return slices.ContainsFunc(p.outcome.Refused, func(f haproxy.Failure) bool { return f.Change == c })
	})
}

// maxRun is the number of changes that a pass of an agent makes in the process: what is left comes with the next pass, and what has
// come in of other domains before it.
const maxRun = 1000

// slice are the changes that the pass makes now, those of domains with few of them first. The plan is without the others.
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
	later := map[haproxy.Change]bool{}
	p.left = map[string]bool{}
	for _, c := range changes[maxRun:] {
		later[c], p.left[c.Domain()] = true, true
	}
	_, p.report.Plan = p.report.Plan.split(func(a Action) bool { return a.Via == ViaRuntime && later[a.Change] })
	return changes[:maxRun]
}

// only is the part of a snapshot that is about a scope.
func only(snapshot registry.Snapshot, scope haproxy.Scope) registry.Snapshot {
	if scope.All() {
		return snapshot
	}
	part := snapshot
	part.Domains, part.Problems = nil, nil
	for _, p := range snapshot.Problems {
		if scope.Has(p.Domain) {
			part.Problems = append(part.Problems, p) // the name of a host may be a bad one
		}
	}
	for _, name := range scope.Names() {
		if d, ok := domainOf(snapshot, name); ok {
			part.Domains = append(part.Domains, d)
		}
	}
	return part
}

// job is what the pass asks of the deployer.
func (p *pass) job() job {
	plan := p.report.Plan
	j := job{
		layout: p.cfg.Layout, scope: p.scope, base: p.state.Digest, worker: p.state.Worker, want: p.want.file, late: plan.needReload, options: plan.options,
		reload: len(plan.Reload) > 0, tracked: trackedIn(p.state.Needed), rewrite: plan.Rewrite, report: &p.report, began: time.Now(),
	}
	for _, f := range p.outcome.Refused {
		j.late, j.reload = append(j.late, f.Change.Domain()), true
	}
	slices.Sort(j.late)
	j.late = slices.Compact(j.late)
	before := map[string]haproxy.Backend{}
	for _, name := range j.late {
		before[name] = p.before(name)
	}
	j.without = j.layout.withRules(withBackends(j.want, before))
	return j
}

// before is what the file said of a domain when it was loaded last, as far as is known.
func (p *pass) before(name string) haproxy.Backend {
	if d := p.memory.domains[name]; d != nil && d.since != nil {
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
