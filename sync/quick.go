package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// nobody is a domain that there is not: a State of it is a cheap look at HAProxy.
const nobody = "hapsync.invalid"

// A Recaller tells what is known of HAProxy without a look at it.
type Recaller interface {
	// Recall is the State of some domains as State or Run read it last; it is not ok where that is not known, or a file has
	// changed since.
	Recall(domains ...string) (st haproxy.State, ok bool)
}

// ahead makes the changes of servers that follow from what is remembered of some domains, so that traffic moves before
// HAProxy has been read, and then looks at what came of them. It is nil where that leaves anything to do in the process, or
// more is to be done than servers that come or change: then a pass that looks first is to follow, which does what ahead did
// not. made are the changes that were sent, whatever came of them.
func (s *Syncer) ahead(ctx context.Context, snapshot registry.Snapshot, domains []string, memory Recaller) (p *pass, made []haproxy.Change) {
	state, ok := memory.Recall(domains...)
	if !ok {
		return nil, nil
	}
	p = s.partial(snapshot, domains, state)
	s.cfg.past.overrides.forget(p.want)
	p.report.Plan = p.plan(state)
	changes := p.report.Plan.changes(ViaRuntime)
	if len(changes) == 0 || p.report.Plan.structural() || slices.ContainsFunc(changes, removes) {
		return nil, nil
	}
	if err := s.cfg.Target.Run(context.WithoutCancel(ctx), changes); err != nil {
		return nil, changes
	}
	if p.state, ok = memory.Recall(domains...); !ok {
		return nil, changes
	}
	if rest := p.plan(p.state); rest.structural() || len(rest.changes(ViaRuntime)) > 0 {
		return nil, changes
	}
	return p, changes
}

// partial begins a pass over some domains, which are all that the snapshot may differ in from the one before.
func (s *Syncer) partial(snapshot registry.Snapshot, domains []string, state haproxy.State) *pass {
	p := &pass{cfg: s.cfg, state: state, tally: s.cfg.past.tally.follow(snapshot, domains)}
	p.report = newReport(p.tally)
	p.report.Down = state.Down
	p.report.leaveOut(LeftAlone(snapshot, state.Foreign))
	p.report.leaveOut(slices.DeleteFunc(slices.Clone(s.cfg.past.left), func(r registry.Problem) bool { return slices.Contains(domains, r.Domain) }))
	p.want, _ = s.cfg.Layout.Desired(only(snapshot, domains), state)
	return p
}

// quick brings what the running process can take in line for some domains, at a cost in proportion to them; have is the
// number of servers that were wanted so far. The file, reloads and the final word on what did not work are others': the report's plan says
// what is left to do. A *HeldError means that nothing was touched.
func (s *Syncer) quick(ctx context.Context, snapshot registry.Snapshot, domains []string, have int) (*pass, error) {
	state, err := s.glance(ctx, domains)
	if err != nil {
		return &pass{cfg: s.cfg}, err
	}
	p := s.partial(snapshot, domains, state)
	s.cfg.past.observe(p.want, state)
	p.report.Plan = p.plan(state)
	if state.Down != nil {
		return p, nil
	}
	_, p.report.leaving = departures{}.servers(p.want, state)
	have += len(s.cfg.past.departures)
	if err := s.cfg.Policy.check(s.cfg.past.removals(p.report.leaving, have), snapshot.Keys); err != nil {
		return p, err
	}
	err = p.runQuick(context.WithoutCancel(ctx))
	return p, err
}

// glance reads some domains, and does not wait for a HAProxy that is busy or stopped.
func (s *Syncer) glance(ctx context.Context, domains []string) (haproxy.State, error) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	return s.cfg.Target.State(ctx, append([]string{nobody}, domains...)...)
}

// runQuick makes the changes of servers in the process. That a removed server is still there is no refusal: it is
// unfinished.
func (p *pass) runQuick(ctx context.Context) error {
	changes := p.report.Plan.ofServers()
	for _, c := range changes {
		if removes(c) {
			p.report.unfinished = append(p.report.unfinished, c.Domain())
			p.report.Draining++
		}
	}
	if len(changes) == 0 {
		return nil
	}
	err := p.cfg.Target.Run(ctx, changes)
	var run *haproxy.RunError
	if !errors.As(err, &run) {
		return err
	}
	for _, f := range run.Failures {
		if !removes(f.Change) {
			p.report.Refused = append(p.report.Refused, fmt.Sprintf("%s: %s", f.Change, f.Reply))
		}
	}
	return nil
}

// only is the part of a snapshot that is about some domains.
func only(snapshot registry.Snapshot, domains []string) registry.Snapshot {
	part := snapshot
	part.Domains, part.Problems = nil, nil
	for _, name := range domains {
		if d, ok := domainOf(snapshot, name); ok {
			part.Domains = append(part.Domains, d)
		}
	}
	return part
}

// after is the plan with changes of servers that were made before it. Those that are in it had not come into effect.
func (p Plan) after(made []haproxy.Change) Plan {
	var actions []Action
	for _, c := range made {
		if a := (Action{ViaRuntime, c}); !slices.Contains(p.Actions, a) {
			actions = append(actions, a)
		}
	}
	p.Actions = append(actions, p.Actions...)
	return p
}

// live is the plan's part in the process.
func (p Plan) live() Plan {
	var live Plan
	for _, a := range p.Actions {
		if a.Via == ViaRuntime {
			live.Actions = append(live.Actions, a)
		}
	}
	return live
}

// ofServers are the changes in the process of domains of which only servers change: of the others the file has to be
// accepted first.
func (p Plan) ofServers() []haproxy.Change {
	waits := map[string]bool{}
	for _, a := range p.Actions {
		if !aboutServer(a.Change) {
			waits[a.Change.Domain()] = true
		}
	}
	return slices.DeleteFunc(p.changes(ViaRuntime), func(c haproxy.Change) bool { return waits[c.Domain()] })
}

func removes(c haproxy.Change) bool {
	_, ok := c.(haproxy.RemoveServer)
	return ok
}

func aboutServer(c haproxy.Change) bool {
	switch c.(type) {
	case haproxy.AddServer, haproxy.SetServer, haproxy.RemoveServer:
		return true
	}
	return false
}

// structural reports whether a plan changes more than servers.
func (p Plan) structural() bool {
	return len(p.Reload) > 0 || slices.ContainsFunc(p.Actions, func(a Action) bool { return !aboutServer(a.Change) })
}

// domains are those of the plan's actions, sorted.
func (p Plan) domains() []string {
	domains := make([]string, len(p.Actions))
	for i, a := range p.Actions {
		domains[i] = a.Change.Domain()
	}
	slices.Sort(domains)
	return slices.Compact(domains)
}
