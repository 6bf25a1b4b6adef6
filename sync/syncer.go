package sync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A Source is the registry, which says what is wanted.
type Source interface {
	// Snapshot reads the whole registry at one revision. A failed read is an error, never an empty snapshot.
	Snapshot(ctx context.Context) (registry.Snapshot, error)
	// Domain reads only one domain, for a user who may not read the others.
	Domain(ctx context.Context, domain string) (registry.Snapshot, error)
	// Keys returns the keys of a domain.
	Keys(ctx context.Context, domain string) ([]registry.Key, error)
}

// Config says what a Syncer works on.
type Config struct {
	Source  Source
	Process Process
	File    File
	Layout  Layout
	Policy  Policy
	// ForceRewrite writes the whole managed file, even if a transaction would do or there is nothing to do.
	ForceRewrite bool
	// UndoOverrides undoes what operators set on HAProxy's socket. Else overrides that an agent has noted are kept.
	UndoOverrides bool
}

// A Syncer brings HAProxy in sync with the registry, one pass at a time. It is not safe for concurrent use.
type Syncer struct{ cfg Config }

// New returns a Syncer, or an error if the configuration is invalid.
func New(cfg Config) (*Syncer, error) {
	if cfg.Source == nil {
		return nil, errors.New("a source is needed")
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Syncer{cfg}, nil
}

func (cfg Config) check() error {
	if cfg.Process == nil || cfg.File == nil {
		return errors.New("a process and a file are needed")
	}
	return checkPolicy(cfg.Layout, cfg.Policy)
}

func checkPolicy(layout Layout, policy Policy) error {
	if len(layout.Frontends) == 0 {
		return errors.New("no frontend is named")
	}
	if m := policy.MaxRemoval; m < 0 || m > 100 {
		return fmt.Errorf("at most %d%% of the servers to be removed: not a percentage of 1 to 100", m)
	}
	return nil
}

// Plan says what Sync would do. It only reads. A *HeldError, also for removals of some domains alone, comes with a full report.
func (s *Syncer) Plan(ctx context.Context) (Report, error) {
	p, err := s.prepare(ctx)
	p.report.File = p.want.file
	if err == nil && p.report.Held != "" {
		p.report.Plan, err = p.planWithHeld, &HeldError{p.report.Held}
	}
	return p.report, err
}

// maxTries bounds how often a pass starts again because another writer has changed the managed file.
const maxTries = 3

// Sync brings HAProxy in sync, once. A *HeldError means that nothing was changed, or, if the report is Applied, that only the removals
// of some domains are held back. With any error the report says what was planned. HAProxy runs the old or the new configuration, never
// a mixture.
func (s *Syncer) Sync(ctx context.Context) (Report, error) {
	for try := 1; ; try++ {
		p, err := s.prepare(ctx) // read, want, plan, check
		if err != nil {
			return p.report, err
		}
		if err := p.claim(); err != nil {
			return p.report, err
		}
		err = p.carryOut(context.WithoutCancel(ctx)) // every step has its own timeout
		if errors.Is(err, haproxy.ErrConflict) && try < maxTries {
			continue
		}
		if p.report.Applied = err == nil; err != nil {
			left := p.left()
			p.report.Left = &left
		} else if p.report.Held == "" {
			p.confirm()
		}
		if err == nil && p.report.Held != "" {
			err = &HeldError{p.report.Held}
			if p.report.Plan.Empty() { // there was nothing else to do
				p.report.Plan, p.report.Applied = p.planWithHeld, false
			}
		}
		return p.report, err
	}
}

// prepare reads both sides, at the same time, and makes the plan.
func (s *Syncer) prepare(ctx context.Context) (*pass, error) {
	p := &pass{cfg: s.cfg, memory: newMemory(), scope: haproxy.Everything(), report: Report{By: ByHand}}
	var snapshot registry.Snapshot
	var failed error
	read := make(chan struct{})
	go func() {
		defer close(read)
		snapshot, failed = s.cfg.Source.Snapshot(ctx)
	}()
	state, err := s.cfg.Process.State(ctx, p.scope)
	<-read
	if failed != nil {
		return p, failed
	}
	p.counts, p.snapshot = countSnapshot(snapshot), snapshot
	p.report = newReport(p.counts)
	if err != nil {
		return p, err
	}
	p.compare(state)
	if !s.cfg.UndoOverrides {
		p.keepOverrides()
	}
	p.holdNeeded()
	err = p.check()
	if held, ok := errors.AsType[*HeldError](err); ok {
		p.report.Held = held.Reason
	}
	return p, err
}

// keepOverrides keeps the overrides that an agent has noted, if HAProxy still has them.
func (p *pass) keepOverrides() {
	text, err := p.cfg.File.Kept()
	if err != nil || len(text) == 0 {
		return // notes that cannot be read count as none
	}
	noted := notedOverrides(text)
	noted.forget(p.asked)
	maps.DeleteFunc(noted, func(key haproxy.ServerKey, set override) bool {
		servers := serversOf(p.state.Live, key.Backend)
		i, there := slices.BinarySearchFunc(servers, haproxy.Server{Name: key.Name}, byServer)
		return !there || servers[i].Weight != set.Weight || servers[i].State != set.State
	})
	if noted.prune(p.asked, p.scope); len(noted) == 0 {
		return
	}
	p.memory.overrides = noted
	p.compare(p.state)
	p.report.Kept = noted.list()
}

// holdNeeded holds back removals that HAProxy would refuse because a line that stays needs the server: a plan shows what a sync does. If
// one server of a domain has to stay, all of them stay, and so do their lines, which may need other servers.
func (p *pass) holdNeeded() {
	held := map[string]refusal{}
	stays := func(key haproxy.ServerKey) bool {
		if key.Backend == "" || has(held, key.Domain()) {
			return true
		}
		want, there := backendOf(p.want.file, key.Domain())
		if key.Name != "" {
			_, there = haproxy.FindServer(want, key.Name)
		}
		return there
	}
	needed, tracked := slices.SortedFunc(maps.Keys(p.state.Needed), byServerKey), trackedIn(p.state.Needed)
	for before := -1; before < len(held); {
		before = len(held)
		for _, key := range needed {
			needs := p.state.Needed[key]
			have, _ := backendOf(p.state.File, key.Domain())
			_, there := haproxy.FindServer(have, key.Name)
			i := slices.IndexFunc(needs, func(n haproxy.Need) bool { return stays(n.Of) })
			if there && i >= 0 && !stays(key) {
				want, _ := backendOf(p.want.file, key.Domain())
				held[key.Domain()] = refusedWithout(key.Name, needs[i], tracked[key.Domain()], have, want)
			}
		}
	}
	if len(held) == 0 {
		return
	}
	kept := p.report.Kept
	p.memory.refuse(held)
	p.compare(p.state)
	p.report.Kept = kept
}

// refusedWithout is the refusal to remove a server that a line needs: what was to be removed of its domain stays, without traffic.
func refusedWithout(server string, need haproxy.Need, tracked bool, have, want haproxy.Backend) refusal {
	line := "without " + server + ", HAProxy refuses the line " + need.Line
	r := refusal{want: want, reason: line, words: line}
	if want.Name == "" {
		r.file, r.hosts = closed(have, tracked)
		return r
	}
	r.file, r.hosts = withoutRemovals(have, want)
	return r
}

// carryOut makes the changes of the plan: in the process, where traffic moves within milliseconds, then in the file, then by a reload if
// one is needed. At the end it checks that nothing is left to do. What the process refuses comes with a reload, from the file.
func (p *pass) carryOut(ctx context.Context) error {
	plan := p.report.Plan
	if plan.Empty() {
		return nil
	}
	if plan.EditsFile() && p.state.NoWrite != nil {
		return p.state.NoWrite // the process must not get what the file will not have
	}
	if err := p.run(ctx, slices.DeleteFunc(plan.early(), removes)); err != nil {
		return err
	}
	r := deploy(ctx, p.cfg.File, p.job())
	p.deployed(r)
	if r.digest != "" { // it could be read
		p.filed = &r
	}
	if r.reloaded && len(p.report.Plan.Reload) == 0 && len(p.outcome.Refused) > 0 {
		p.report.Plan.Reload = []string{notTaken + p.outcome.Refused[0].Change.String()}
	}
	if r.err != nil || p.state.Down != nil && !p.state.Deaf {
		return r.err
	}
	err := p.finish(ctx)
	if r.reloadError != nil && !r.reloaded {
		return r.reloadError
	}
	return err
}

// claim records which words of a file that hapsync has never written come from keys.
func (p *pass) claim() error {
	if !p.state.Unclaimed || p.state.Missing || p.state.NoWrite != nil {
		return nil
	}
	return p.cfg.File.Claim(p.asked)
}

// deployed takes over the result of the job.
func (p *pass) deployed(r result) {
	p.report.Reloaded = r.reloaded
	if r.reloaded {
		p.report.Down = nil
	}
	if r.rewrite != "" && p.report.Plan.Rewrite == "" {
		p.report.Plan = p.report.Plan.rewritten(r.rewrite)
	}
	if len(r.refused) == 0 {
		return
	}
	for name, refused := range r.refused {
		refused.reason = refused.words // in full: the caller of a command may read the files
		r.refused[name] = refused
	}
	p.memory.refuse(r.refused)
	for name := range r.refused {
		p.memory.domains[name].refused.retry.at = time.Now().Add(maxRefusedRetry) // no retry in this pass
	}
	p.want = p.memory.wanted(p.cfg.Layout, p.asked, p.state, p.scope)
	p.report.Plan = p.plan(p.state) // what was done
	p.report.addProblems(p.memory.leftOut(p.snapshot.Prefix, p.scope, p.want.refused))
}

// notTaken begins the reason for a reload that makes what the running process refused.
const notTaken = "haproxy: the running process has not taken all of it: "

// left is what is still to do of the plan, after an error.
func (p *pass) left() Plan {
	var unwritten []haproxy.Change
	written := p.filed != nil && p.filed.digest != p.filed.base
	if p.filed != nil {
		unwritten = Diff(p.filed.file, p.want.file)
	}
	_, left := p.report.Plan.split(func(a Action) bool {
		switch {
		case a.Via != ViaRuntime:
			return p.filed != nil && !slices.Contains(unwritten, a.Change)
		case p.report.Reloaded:
			return true
		}
		refused := func(f haproxy.Failure) bool { return f.Change == a.Change }
		return slices.Contains(p.ran, a.Change) && !slices.ContainsFunc(p.outcome.Refused, refused)
	})
	if written && len(unwritten) == 0 {
		left.Rewrite = ""
	}
	if p.report.Reloaded {
		left.Reload = nil
	}
	return left
}

// finish reads HAProxy back, makes the changes in the process that had to wait for the file, and checks that nothing is left to do.
// What the process refuses now comes with a reload, if there was none yet.
func (p *pass) finish(ctx context.Context) error {
	rest, err := p.remaining(ctx)
	if err != nil {
		return err
	}
	if changes := rest.changes(ViaRuntime); len(changes) > 0 {
		if err := p.run(ctx, changes); err != nil {
			return err
		}
		if rest, err = p.remaining(ctx); err != nil {
			return err
		}
	}
	switch {
	case rest.Empty():
		return nil
	case onlyRemovals(rest):
		p.warnDraining(rest)
		return nil
	case p.report.Reloaded || rest.EditsFile():
		return fmt.Errorf("%w: after the pass there is still to do: %s (was HAProxy started with the managed file? hapsync check tells)",
			haproxy.ErrRefused, rest.first())
	}
	if err := p.cfg.File.Reload(ctx); err != nil {
		return err
	}
	p.report.Reloaded, p.report.Down = true, nil
	why := rest.Reload
	if len(why) == 0 {
		why = []string{notTaken + rest.first()}
	}
	p.report.Plan.Reload = slices.Concat(p.report.Plan.Reload, why)
	return p.finish(ctx)
}

// warnDraining warns of the removed servers, if nothing else is left to do.
func (p *pass) warnDraining(rest Plan) {
	n := 0
	for _, a := range rest.Actions {
		if a.Change.Object() == haproxy.ObjectServer {
			n++
		}
	}
	p.report.Draining = n
	switch n {
	case 0: // a backend without servers, whose last sessions end
	case 1:
		p.report.Warnings = append(p.report.Warnings, "1 removed server still has connections, or is held by other rules; "+
			"it takes no new ones and is deleted by a later pass")
	default:
		p.report.Warnings = append(p.report.Warnings, fmt.Sprintf("%d removed servers still have connections, or are held by other rules; "+
			"they take no new ones and are deleted by a later pass", n))
	}
}

// remaining is what is left to do.
func (p *pass) remaining(ctx context.Context) (Plan, error) {
	st, err := p.cfg.Process.State(ctx, p.scope)
	if err == nil {
		err = st.Down
	}
	if err != nil {
		return Plan{}, fmt.Errorf("read back: %w", err)
	}
	st = leaveAlone(st, p.snapshot)
	p.want = p.memory.wanted(p.cfg.Layout, p.asked, st, p.scope)
	return p.plan(st), nil
}

func onlyRemovals(p Plan) bool {
	return len(p.Reload) == 0 && p.Rewrite == "" && !slices.ContainsFunc(p.Actions, func(a Action) bool {
		return a.Via != ViaRuntime || !removes(a.Change) || a.Change.Object() == haproxy.ObjectRule
	})
}
