package sync

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A Report is what a pass found, planned and did.
type Report struct {
	Revision registry.Revision
	// By says who or what asked for the pass.
	By Asker
	// Domains and Hosts count the valid ones in the registry.
	Domains, Hosts int
	Plan           Plan
	// File is what the managed file should say; only Syncer.Plan sets it.
	File haproxy.Config
	// Problems are the registry's problems, and what was left alone in HAProxy or refused by it, sorted by key.
	Problems []registry.Problem
	// Ignored are the keys without a meaning.
	Ignored registry.Ignored
	// Pending are the half-written hosts, as "domain/host: what is missing", sorted.
	Pending []string
	// Warnings are what an operator should fix in HAProxy's configuration.
	Warnings []string
	// Kept is what an operator set on HAProxy's socket. It stays.
	Kept []Override
	// Agents is what HAProxy's agent-checks set. It stays.
	Agents []Override
	// Refused are the changes that the running process refused. A reload made them instead.
	Refused []string
	// Held says why a safeguard holds the plan back; empty if none does.
	Held string
	// Compared is set if the registry and HAProxy were read. Otherwise nothing is known of HAProxy, and the plan is empty.
	Compared bool
	// Down says why the process could not be reached; nil if it was.
	Down error
	// Reloaded is set if HAProxy was reloaded, Postponed if a later pass reloads it.
	Reloaded, Postponed bool
	// Draining is the number of removed servers that still have sessions.
	Draining int
	// Drift counts the changes of the plan that undo manual changes of HAProxy: the registry says nothing new about their domains.
	// Only an agent sets it.
	Drift int
	// OldWorkers is the number of old HAProxy processes that still finish their sessions. A pass over some domains does not count them.
	OldWorkers int
	// leaving are the unwanted servers that the pass found.
	leaving []haproxy.ServerKey
	// remembered are the problems that come from an agent's memory: a job may end them.
	remembered []registry.Problem
	// Version is the version of the process; zero if it was not read.
	Version haproxy.Version
	// Applied is set if the plan was carried out, or had nothing to do.
	Applied bool
	// Left is what is still to do of a plan that was only partly carried out; nil if the plan was not begun, or is Applied.
	Left *Plan
}

func newReport(t snapshotCounts) Report {
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

// A ReloadCause is the kind of change that needed a reload.
type ReloadCause string

// The causes of reloads.
const (
	ReloadDomain  ReloadCause = "domain"  // a new domain: its rules and backend
	ReloadOptions ReloadCause = "options" // the options of a backend
	ReloadServer  ReloadCause = "server"  // a server that the running process cannot add or change
	ReloadRefused ReloadCause = "refused" // a change that the running process refused
)

// cause is the cause of the pass's reload.
func (r Report) cause() ReloadCause { return cmp.Or(r.Plan.cause, ReloadRefused) }

// LeftOut reports whether a domain or host is not followed because of a problem (exit code 6).
func (r Report) LeftOut() bool { return slices.ContainsFunc(r.Problems, registry.Problem.Holds) }

// Done is what was made of a plan that was only partly carried out.
func (r Report) Done() (done Plan) {
	if r.Left == nil {
		return done
	}
	done, _ = r.Plan.split(func(a Action) bool { return !slices.Contains(r.Left.Actions, a) })
	if r.Left.Rewrite == "" {
		done.Rewrite = r.Plan.Rewrite
	}
	if len(r.Left.Reload) == 0 {
		done.Reload = r.Plan.Reload
	}
	return done
}

// Summary is the number of actions of each Via, and of reloads, as text.
func (p Plan) Summary() string {
	counts := map[Via]int{}
	for _, a := range p.Actions {
		counts[a.Via]++
	}
	return summary(counts, p.Rewrite != "", len(p.Reload) > 0)
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

// first describes the most important thing that the plan would do.
func (p Plan) first() string {
	switch {
	case len(p.Reload) > 0:
		return "reload: " + p.Reload[0]
	case len(p.Actions) > 0:
		return string(p.Actions[0].Via) + " " + p.Actions[0].Change.String()
	}
	return p.Rewrite
}
