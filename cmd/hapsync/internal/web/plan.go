package web

import (
	"strconv"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// A Plan is what the agent has not done yet: what a safeguard holds back, and what waits.
type Plan struct {
	Version  int               `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
	Revision registry.Revision `json:"revision" doc:"the registry's revision that was last heard of"`
	InLine   bool              `json:"in_line" doc:"nothing is held, and no domain waits"`
	Hold     *Hold             `json:"hold" doc:"what a safeguard holds back; null if nothing"`
	Shadow   bool              `json:"shadow" doc:"the agent changes nothing (--shadow): the steps are those that an agent would take"`
	Total    int               `json:"total" doc:"how many steps are held; with --shadow, how many an agent would take"`
	Steps    []Step            `json:"steps" doc:"the steps that are held, or that an agent would take, in order"`
	Next     string            `json:"next,omitempty" doc:"what to give as 'after' for those that follow; absent with the last ones"`
	Reload   []string          `json:"reload" doc:"reasons of the reload that is held, or that an agent would make, the first 100"`
	Waiting  []string          `json:"waiting" doc:"domains that wait for the file or a reload, or are held, the first 100"`
	More     int               `json:"waiting_more" doc:"how many it does not name"`
}

// A Step is a change and its way.
type Step struct {
	Via     sync.Via       `json:"via" doc:"'runtime', 'transaction' or 'rewrite'"`
	Op      haproxy.Op     `json:"op" doc:"'add', 'set' or 'remove'"`
	Object  haproxy.Object `json:"object" doc:"'backend', 'server' or 'rule'"`
	Domain  string         `json:"domain" doc:"the domain that it serves"`
	Summary string         `json:"summary" doc:"the line of 'hapsync plan'"`
}

// maxNamed limits the lists that have no pages.
const maxNamed = 100

// plan is what is not done yet, with at most limit steps.
func (st *state) plan(from, limit int) Plan {
	s := st.status
	held := st.steps()
	late := s.Late()
	out := Plan{
		Version: apiVersion, Revision: s.Seen, Shadow: s.Shadow != nil, Hold: st.overview().Hold,
		InLine: s.Held == "" && len(late) == 0 && !s.AppliedAt.IsZero(),
		Total:  len(held.Actions), Steps: []Step{}, Reload: first(held.Reload), Waiting: first(late), More: max(0, len(late)-maxNamed),
	}
	if out.Shadow {
		out.InLine = out.InLine && s.Last.Plan.Empty() && s.HAProxyUp()
	}
	from = min(from, len(held.Actions))
	to := min(from+limit, len(held.Actions))
	for _, a := range held.Actions[from:to] {
		out.Steps = append(out.Steps, Step{a.Via, a.Change.Op(), a.Change.Object(), a.Change.Domain(), a.Change.String()})
	}
	if to < len(held.Actions) {
		out.Next = strconv.Itoa(to)
	}
	return out
}

// steps are what is held, or what an agent would do if this is a shadow.
func (st *state) steps() sync.Plan {
	if s := st.status; s.Shadow != nil && s.Held == "" {
		return s.Last.Plan
	}
	return st.status.HeldPlan
}

// first is the first part of a list, never nil.
func first(all []string) []string { return append([]string{}, all[:min(len(all), maxNamed)]...) }
