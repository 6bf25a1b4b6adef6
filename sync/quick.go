package sync

import (
	"cmp"
	"context"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// quick brings what the running process can take in line for some domains, at a cost in proportion to them. The
// file, removals past their drain, reloads and the final word are a whole pass's: the report's plan says whether one
// is needed. A *HeldError means that nothing was touched.
func (s *Syncer) quick(ctx context.Context, snapshot registry.Snapshot, domains []string, before removals) (Report, error) {
	p := &pass{cfg: s.cfg}
	state, err := s.cfg.Target.State(ctx, domains...)
	if err != nil {
		return p.report, err
	}
	p.report = newReport(snapshot)
	p.report.Down = state.Down
	p.report.leaveOut(LeftAlone(snapshot, state.Foreign))
	want, _ := s.cfg.Layout.Desired(only(snapshot, domains), state)
	p.want, p.state = want, state
	p.report.Plan = NewPlan(want, state)
	if state.Down != nil {
		return p.report, nil
	}
	_, p.report.Removed = countRemovals(want, state)
	if err := s.cfg.Policy.check(before.with(sum(p.report.Removed)), snapshot.Keys); err != nil {
		return p.report, err
	}
	p.report.Refused, err = p.run(context.WithoutCancel(ctx), p.report.Plan.ofServers())
	return p.report, err
}

// only is the part of a snapshot that is about some domains.
func only(snapshot registry.Snapshot, domains []string) registry.Snapshot {
	part := snapshot
	part.Domains, part.Problems = nil, nil
	for _, name := range domains {
		i, ok := slices.BinarySearchFunc(snapshot.Domains, name, func(d registry.Domain, name string) int { return cmp.Compare(d.Name, name) })
		if ok {
			part.Domains = append(part.Domains, snapshot.Domains[i])
		}
	}
	return part
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
