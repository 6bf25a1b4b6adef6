package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A Source is where the wanted state comes from: the registry.
type Source interface {
	// Snapshot reads the whole registry at one revision. A failed read is an error, never an empty snapshot.
	Snapshot(ctx context.Context) (registry.Snapshot, error)
}

// A Target is what is brought in line: HAProxy's file and process. Its methods return when their effect is there and
// has been read back, or an error.
type Target interface {
	// State reads everything, or, with domains, only what is theirs, which costs in proportion.
	State(ctx context.Context, domains ...string) (haproxy.State, error)
	// Commit edits the managed file, Rewrite writes it anew; both refuse a file that is not the one of base any more
	// (haproxy.ErrConflict) and a configuration that HAProxy refuses (*haproxy.InvalidConfigError).
	Commit(ctx context.Context, want haproxy.Config, base haproxy.Digest) error
	Rewrite(ctx context.Context, want haproxy.Config, base haproxy.Digest) error
	// Run makes changes of servers in the process; a *haproxy.RunError lists what it did not take.
	Run(ctx context.Context, changes []haproxy.Change) error
	// Reload makes the process load the file. After a failed one the file is what it was before the last Commit.
	Reload(ctx context.Context) error
}

// Config says what a Syncer works on.
type Config struct {
	Source Source
	Target Target
	Layout Layout
	Policy Policy
	// ForceRewrite writes the managed file anew even where a transaction would do, or nothing need be done.
	ForceRewrite bool
	// MayReload says whether a reload may be made now; nil means always. One that may not is postponed: a later pass
	// finds it still to do.
	MayReload func() bool

	past past
}

// A Syncer brings HAProxy in line with the registry, a pass at a time. It is not safe for concurrent use.
type Syncer struct{ cfg Config }

// New returns a Syncer, or an error where the configuration makes no sense.
func New(cfg Config) (*Syncer, error) {
	if cfg.Source == nil || cfg.Target == nil {
		return nil, errors.New("a source and a target are needed")
	}
	if len(cfg.Layout.Frontends) == 0 {
		return nil, errors.New("no frontend is named")
	}
	if cfg.MayReload == nil {
		cfg.MayReload = func() bool { return true }
	}
	if m := cfg.Policy.MaxRemoval; m < 0 || m > 100 {
		return nil, fmt.Errorf("at most %d%% of the servers to be removed: not a percentage of 1 to 100", m)
	}
	return &Syncer{cfg}, nil
}

// Plan says what Sync would do. It reads only. A *HeldError comes with a full report.
func (s *Syncer) Plan(ctx context.Context) (Report, error) {
	p, err := s.prepare(ctx)
	return p.report, err
}

// maxTries bounds how often a pass starts anew because someone else changed the managed file meanwhile.
const maxTries = 3

// Sync brings HAProxy in line, once. A *HeldError means that nothing was touched; with any error the report says
// what was planned, and what runs is the old or the new configuration, never a mixture of the two.
func (s *Syncer) Sync(ctx context.Context) (Report, error) {
	p, err := s.sync(ctx)
	return p.report, err
}

func (s *Syncer) sync(ctx context.Context) (*pass, error) {
	for try := 1; ; try++ {
		p, err := s.prepare(ctx)
		if err != nil {
			return p, err
		}
		err = p.apply(ctx)
		if errors.Is(err, haproxy.ErrConflict) && try < maxTries {
			continue
		}
		p.report.Applied = err == nil
		return p, err
	}
}

// A pass is one comparison of registry and HAProxy, and what follows from it.
type pass struct {
	cfg    Config
	prefix string // the registry's
	// snapshot is the registry; zero where it could not be read.
	snapshot registry.Snapshot
	want     haproxy.Config
	state    haproxy.State
	tally    tally
	report   Report
	// quarantined is set when the file got less than was wanted first.
	quarantined bool
	// left are the domains that were left as they were then.
	left []registry.Problem
}

// prepare reads both sides, at the same time, and makes the plan.
func (s *Syncer) prepare(ctx context.Context) (*pass, error) {
	p := &pass{cfg: s.cfg}
	var snapshot registry.Snapshot
	var failed error
	read := make(chan struct{})
	go func() {
		defer close(read)
		snapshot, failed = s.cfg.Source.Snapshot(ctx)
	}()
	state, err := s.cfg.Target.State(ctx)
	<-read
	if failed != nil {
		return p, failed
	}
	p.tally = tallyOf(snapshot)
	p.report, p.snapshot, p.prefix = newReport(p.tally), snapshot, snapshot.Prefix
	if err != nil {
		return p, err
	}
	want, left := s.cfg.Layout.Desired(snapshot, state)
	p.want, p.state = want, state
	p.report.leaveOut(left)
	p.report.Warnings, p.report.OldWorkers = state.Warnings, state.OldWorkers
	p.report.Down = state.Down
	p.report.Version = state.Capabilities.Version
	s.cfg.past.observe(want, state)
	p.report.Plan = p.firstPlan()
	p.report.Drift = s.cfg.past.drift(p.report.Plan, snapshot)
	err = s.check(p, snapshot)
	var held *HeldError
	if errors.As(err, &held) {
		p.report.Held = held.Reason
	}
	return p, err
}

// check holds a plan that a safeguard objects to. A plan with nothing in it proves that nothing is wrong.
func (s *Syncer) check(p *pass, snapshot registry.Snapshot) error {
	p.report.servers, p.report.leaving = s.cfg.past.departures.servers(p.want, p.state)
	if p.report.Plan.Empty() || s.cfg.Policy.AllowMassRemoval {
		return nil
	}
	if s.cfg.past.other != nil {
		return s.cfg.past.other
	}
	return s.cfg.Policy.check(s.cfg.past.removals(p.report.leaving, p.report.servers), snapshot.Keys)
}

// plan is what is to be done in a state.
func (p *pass) plan(st haproxy.State) Plan {
	return p.cfg.past.bury(newPlan(p.want, p.cfg.past.overrides.apply(p.want), st))
}

// firstPlan is what is to be done, and what is asked for.
func (p *pass) firstPlan() Plan {
	plan := p.plan(p.state)
	if p.cfg.ForceRewrite && plan.Rewrite == "" {
		plan = plan.rewritten("--rewrite asks for it")
	}
	return plan
}

// apply carries the plan out: the process first, because traffic moves within milliseconds, then the file, then the
// reload if one is needed, and reads back that nothing is left to do. What the process refuses is brought by a
// reload, as the file is right by then. It is not cut in two by the end of ctx: every step has a limit of its own.
func (p *pass) apply(ctx context.Context) error {
	plan := p.report.Plan
	if plan.Empty() {
		return nil
	}
	if plan.editsFile() && p.state.NoWrite != nil {
		return p.state.NoWrite // the process is not brought to what no file will say
	}
	ctx = context.WithoutCancel(ctx)
	refused, err := p.run(ctx, firstHalf(plan))
	if err != nil {
		return err
	}
	if refusal := p.cfg.past.refusal; refusal != nil && len(plan.Reload)+len(refused) > 0 {
		return refusal // the file stays the last good one
	}
	if err := p.write(ctx, plan); err != nil {
		return err
	}
	if p.state.Down != nil && !p.state.Deaf {
		return nil
	}
	if plan.Reload, err = p.reloadReasons(ctx, plan); err != nil {
		return err
	}
	p.report.Refused = refused
	if len(plan.Reload)+len(refused) > 0 {
		return p.reload(ctx)
	}
	return p.finish(ctx)
}

// reload reloads, or leaves that to a later pass, and finishes the pass.
func (p *pass) reload(ctx context.Context) error {
	if !p.cfg.MayReload() {
		p.report.Postponed = true
		return nil
	}
	if err := p.cfg.Target.Reload(ctx); err != nil {
		return err
	}
	p.report.Reloaded, p.report.Down = true, nil
	return p.finish(ctx)
}

// reloadReasons are the plan's, or, where HAProxy refused some domain, what is left of them.
func (p *pass) reloadReasons(ctx context.Context, plan Plan) ([]string, error) {
	if !p.quarantined {
		return plan.Reload, nil
	}
	st, err := p.cfg.Target.State(ctx)
	return p.plan(st).Reload, err
}

// firstHalf is what runs before the file is written: what moves traffic. A domain that loses something, or whose rules or
// backend change, waits for the file, because HAProxy may yet refuse it there: lines of an operator's may need what goes.
func firstHalf(plan Plan) []haproxy.Change {
	waits := map[string]bool{}
	for _, a := range plan.Actions {
		switch a.Change.(type) {
		case haproxy.AddServer, haproxy.SetServer:
		default:
			waits[a.Change.Domain()] = true
		}
	}
	return slices.DeleteFunc(plan.changes(ViaRuntime), func(c haproxy.Change) bool { return waits[c.Domain()] })
}

// run makes changes in the process and returns, in words, what it refused.
func (p *pass) run(ctx context.Context, changes []haproxy.Change) (refused []string, err error) {
	if len(changes) == 0 {
		return nil, nil
	}
	err = p.cfg.Target.Run(ctx, changes)
	var run *haproxy.RunError
	if errors.As(err, &run) {
		for _, f := range run.Failures {
			refused = append(refused, fmt.Sprintf("%s: %s", f.Change, f.Reply))
		}
		return refused, nil
	}
	return nil, err
}

// finish reads HAProxy back, does in the process what had to wait for the file, and makes sure that nothing is left to
// do. What the process refuses now is brought by a reload, where there was none yet.
func (p *pass) finish(ctx context.Context) error {
	rest, err := p.rest(ctx)
	if err != nil {
		return err
	}
	if changes := rest.changes(ViaRuntime); len(changes) > 0 {
		refused, err := p.run(ctx, changes)
		if err != nil {
			return err
		}
		p.report.Refused = append(p.report.Refused, refused...)
		if rest, err = p.rest(ctx); err != nil {
			return err
		}
	}
	switch {
	case rest.Empty():
		return nil
	case onlyRemovals(rest):
		p.report.Draining = len(rest.Actions)
		p.report.unfinished = rest.domains()
		p.report.Warnings = append(p.report.Warnings, fmt.Sprintf("%s still have connections, or are held by other rules; they take no new ones and are deleted by a later pass", count(len(rest.Actions), "removed server")))
		return nil
	case p.report.Reloaded || rest.editsFile():
		return fmt.Errorf("%w: after the pass there is still to do: %s (was HAProxy started with the managed file? hapsync check tells)", haproxy.ErrRefused, rest.first())
	}
	return p.reload(ctx)
}

// rest is what is left to do.
func (p *pass) rest(ctx context.Context) (Plan, error) {
	st, err := p.cfg.Target.State(ctx)
	if err == nil {
		err = st.Down
	}
	if err != nil {
		return Plan{}, fmt.Errorf("read back: %w", err)
	}
	return p.plan(st), nil
}

func onlyRemovals(p Plan) bool {
	return len(p.Reload) == 0 && p.Rewrite == "" && !slices.ContainsFunc(p.Actions, func(a Action) bool {
		return !removes(a.Change) || a.Via != ViaRuntime
	})
}
