package sync

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A Report is what a pass found, meant to do and did.
type Report struct {
	Revision registry.Revision
	// By is what the pass was made for.
	By Asker
	// Domains and Hosts count what the registry has in a good state.
	Domains, Hosts int
	Plan           Plan
	// File is what the managed file is to say; only Syncer.Plan tells.
	File haproxy.Config
	// Problems are the registry's, and what was left alone or refused in HAProxy, sorted by key.
	Problems []registry.Problem
	// Ignored are the keys that mean nothing.
	Ignored registry.Ignored
	// Pending hosts, as "domain/host: what is missing", sorted.
	Pending []string
	// Warnings are what an operator should fix in HAProxy's configuration.
	Warnings []string
	// Kept is what an operator set on HAProxy's socket, and is left as it is.
	Kept []Override
	// Agents is what HAProxy's agent-checks have set, and is left as it is.
	Agents []Override
	// Refused holds what the running process did not take, so that it came by a reload.
	Refused []string
	// Held says why a safeguard holds the plan back; empty where none does.
	Held string
	// Compared is set when both sides were read. Without it nothing is known of HAProxy, and the plan is empty.
	Compared bool
	// Down says why the process could not be reached; nil when it was.
	Down error
	// Reloaded is set when HAProxy was reloaded, Postponed when that is left to a later pass.
	Reloaded, Postponed bool
	// Draining is the number of removed servers that still have sessions.
	Draining int
	// Drift counts the changes of the plan that undo what was done to HAProxy by hand: the registry says nothing new about
	// their domains. Only an agent knows.
	Drift int
	// OldWorkers is the number of HAProxy's processes that finish what they have; a quick pass does not look.
	OldWorkers int
	// leaving are the servers that the pass found and that are not wanted.
	leaving []haproxy.ServerKey
	// remembered are those of the problems that an agent's memory had: a job may end them.
	remembered []registry.Problem
	// Version is the process's; zero where it was not read.
	Version haproxy.Version
	// Applied is set when the plan was carried out (or there was nothing to do), not only made.
	Applied bool
}

func newReport(t tally) Report {
	return Report{
		Revision: t.of.Revision, By: ByHand, Domains: t.domains, Hosts: t.hosts,
		Problems: slices.Clone(t.of.Problems), Ignored: t.of.Ignored, Pending: t.pending,
	}
}

func (r *Report) addProblems(problems []registry.Problem) {
	r.Problems = append(r.Problems, problems...)
	slices.SortStableFunc(r.Problems, func(a, b registry.Problem) int { return cmp.Compare(a.Key, b.Key) })
	r.Problems = slices.Compact(r.Problems)
}

// A ReloadCause is the kind of thing that a reload was made for.
type ReloadCause string

// The causes of reloads.
const (
	ReloadDomain  ReloadCause = "domain"  // a new domain: its rules and backend
	ReloadOptions ReloadCause = "options" // the options of a backend
	ReloadServer  ReloadCause = "server"  // a server that the running process cannot take, or not change so
	ReloadRefused ReloadCause = "refused" // a change that the running process was to take, and did not
)

// cause is what the pass's reload was made for.
func (r Report) cause() ReloadCause { return cmp.Or(r.Plan.cause, ReloadRefused) }

// LeftOut reports whether a problem keeps some domain or host from being followed (exit code 6).
func (r Report) LeftOut() bool { return slices.ContainsFunc(r.Problems, registry.Problem.Holds) }

// Summary counts the actions by way.
func (p Plan) Summary() string {
	return summary(p.counts(), p.Rewrite != "", len(p.Reload) > 0)
}

// counts are the actions by way.
func (p Plan) counts() map[Via]int {
	counts := map[Via]int{}
	for _, a := range p.Actions {
		counts[a.Via]++
	}
	return counts
}

func summary(counts map[Via]int, rewritten, reloaded bool) string {
	var parts []string
	for _, via := range []Via{ViaRuntime, ViaTransaction, ViaRewrite} {
		if n := counts[via]; n > 0 || via == ViaRewrite && rewritten {
			parts = append(parts, fmt.Sprintf("%s=%d", via, n))
		}
	}
	reloads := 0
	if reloaded {
		reloads = 1
	}
	return strings.Join(append(parts, fmt.Sprintf("reload=%d", reloads)), " ")
}

// first is the first thing that a plan would do, in words.
func (p Plan) first() string {
	switch {
	case len(p.Reload) > 0:
		return "reload: " + p.Reload[0]
	case len(p.Actions) > 0:
		return string(p.Actions[0].Via) + " " + p.Actions[0].Change.String()
	}
	return p.Rewrite
}
