package sync

import (
	"errors"
	"time"
)

// hold takes into the status what a safeguard holds back after a pass.
func (s *Status) hold(p *pass, err error) {
	if s.Held == "" {
		s.HeldPlan, s.HeldSince = Plan{}, time.Time{}
		return
	}
	if s.HeldSince.IsZero() {
		s.HeldSince = time.Now()
	}
	var all *HeldError
	if errors.As(err, &all) {
		s.HeldPlan = p.report.Plan
		return
	}
	held, _ := p.unheld.split(func(a Action) bool { return len(p.held[a.Change.Domain()]) > 0 })
	if !p.scope.All() {
		others, _ := s.HeldPlan.split(func(a Action) bool { return !p.scope.Has(a.Change.Domain()) })
		held.Actions = append(others.Actions, held.Actions...)
	}
	s.HeldPlan = held
}
