package sync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// write brings the managed file in line. A domain whose change HAProxy refuses is left as the file has it, and
// reported; all others go through.
func (p *pass) write(ctx context.Context, plan Plan) error {
	if !plan.editsFile() {
		return nil
	}
	err := p.commit(ctx, p.want, &plan)
	var invalid *haproxy.InvalidConfigError
	if !errors.As(err, &invalid) {
		return err
	}
	q := quarantine{pass: p, plan: plan, reasons: map[string]string{}}
	return q.write(ctx, invalid)
}

// commit writes the file as the plan says; where a transaction fails twice for a reason that is not the
// configuration's, as a rewrite.
func (p *pass) commit(ctx context.Context, want haproxy.Config, plan *Plan) error {
	if plan.Rewrite != "" {
		return p.cfg.Target.Rewrite(ctx, want, p.state.Digest)
	}
	var err error
	for range 2 {
		err = p.cfg.Target.Commit(ctx, want, p.state.Digest)
		var invalid *haproxy.InvalidConfigError
		if err == nil || errors.As(err, &invalid) || errors.Is(err, haproxy.ErrConflict) || errors.Is(err, haproxy.ErrNoVerdict) {
			return err
		}
	}
	*plan = plan.rewritten(fmt.Sprintf("the transaction failed twice: %v", err))
	p.report.Plan = *plan
	return p.cfg.Target.Rewrite(ctx, want, p.state.Digest)
}

// A quarantine finds the domains whose change HAProxy refuses.
type quarantine struct {
	*pass
	plan    Plan
	reasons map[string]string
}

// maxValidations bounds the search: each costs a haproxy -c.
const maxValidations = 64

// write tries without the domains that HAProxy names, then searches by halves among all that change. Where not even the
// file as it stands is accepted, no domain is at fault, and the refusal is the pass's error.
func (q *quarantine) write(ctx context.Context, invalid *haproxy.InvalidConfigError) error {
	changed := q.changed()
	if len(changed) == 0 {
		return invalid
	}
	named := intersect(invalid.Domains, changed)
	for _, d := range named {
		q.reasons[d] = oneLine(invalid.Output)
	}
	err := error(invalid)
	if len(named) > 0 {
		err = q.try(ctx, nil)
	}
	if errors.As(err, &invalid) {
		clear(q.reasons)
		left := maxValidations
		if err = q.search(ctx, changed, nil, &left); err == nil && len(q.reasons) == len(changed) {
			err = q.try(ctx, nil)
		}
	}
	if err != nil {
		return err
	}
	want, left := q.cfg.Layout.quarantine(q.want, q.state.File, q.prefix, q.reasons)
	q.want, q.quarantined = want, true
	q.report.Plan = q.firstPlan() // of what was done
	q.report.leaveOut(left)
	q.left = left
	return nil
}

// search applies as many of the domains as HAProxy accepts; later are those whose turn comes then. Every try that is
// accepted holds all that were accepted before.
func (q *quarantine) search(ctx context.Context, domains, later []string, left *int) error {
	if *left--; *left < 0 {
		return fmt.Errorf("%d configurations were refused by haproxy -c; the search for the domains at fault ends here", maxValidations)
	}
	err := q.try(ctx, later)
	var invalid *haproxy.InvalidConfigError
	switch {
	case !errors.As(err, &invalid):
		return err
	case len(domains) == 1:
		q.reasons[domains[0]] = oneLine(invalid.Output)
		return nil
	}
	first, second := domains[:len(domains)/2], domains[len(domains)/2:]
	if err := q.search(ctx, first, slices.Concat(second, later), left); err != nil {
		return err
	}
	return q.search(ctx, second, later, left)
}

// try writes what is wanted, but for the quarantined domains and those whose turn comes later.
func (q *quarantine) try(ctx context.Context, later []string) error {
	without := maps.Clone(q.reasons)
	for _, d := range later {
		without[d] = "later"
	}
	want, _ := q.cfg.Layout.quarantine(q.want, q.state.File, q.prefix, without)
	if err := q.commit(ctx, want, &q.plan); err != nil {
		return err
	}
	st, err := q.cfg.Target.State(ctx)
	q.state.Digest = st.Digest
	return err
}

// changed are the domains that the plan would change in the file, sorted.
func (q *quarantine) changed() []string {
	var domains []string
	for _, a := range q.plan.Actions {
		if a.Via != ViaRuntime {
			domains = append(domains, a.Change.Domain())
		}
	}
	slices.Sort(domains)
	return slices.Compact(domains)
}

func intersect(a, b []string) []string {
	var both []string
	for _, s := range a {
		if slices.Contains(b, s) {
			both = append(both, s)
		}
	}
	return both
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
