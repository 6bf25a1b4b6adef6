package sync

import (
	"fmt"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// A Via is the way in which a change reaches HAProxy.
type Via string

// The ways of a change, in the order in which a pass uses them.
const (
	ViaRuntime     Via = "runtime"     // the Runtime API: at once, without a reload
	ViaTransaction Via = "transaction" // a validated edit of the managed file
	ViaRewrite     Via = "rewrite"     // a new managed file
)

// An Action is a change and its way.
type Action struct {
	Via    Via
	Change haproxy.Change
}

// A Plan is what a pass would do. The zero Plan does nothing: HAProxy is in sync.
type Plan struct {
	// Actions are sorted: first runtime, then the file; in each, additions before removals.
	Actions []Action
	// Rewrite says why the whole file is written; empty if it is not.
	Rewrite string
	// Reload holds the reasons for the reload, sorted; empty if there is no reload.
	Reload []string

	// dynamic is true for the domains that need no reload, although their backend or rules are new, or were added to the process.
	dynamic    map[string]bool
	cause      ReloadCause // of the reload: the first that applies of domain, options, server
	needReload []string    // the domains that need the reload, sorted
	options    []string    // of needReload, the domains with a change in place of an option or a server
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Actions) == 0 && p.Rewrite == "" && len(p.Reload) == 0 }

// changes returns the plan's changes that go one way.
func (p Plan) changes(via Via) []haproxy.Change {
	var changes []haproxy.Change
	for _, a := range p.Actions {
		if a.Via == via {
			changes = append(changes, a.Change)
		}
	}
	return changes
}

// edits returns the plan's changes of the managed file.
func (p Plan) edits() []haproxy.Change {
	if p.Rewrite != "" {
		return p.changes(ViaRewrite)
	}
	return p.changes(ViaTransaction)
}

// EditsFile reports whether the plan writes the managed file.
func (p Plan) EditsFile() bool {
	return p.Rewrite != "" || slices.ContainsFunc(p.Actions, func(a Action) bool { return a.Via == ViaTransaction })
}

// rewritten is the plan with a rewrite instead of the transaction.
func (p Plan) rewritten(why string) Plan {
	p.Rewrite = why
	p.Actions = slices.Clone(p.Actions)
	for i := range p.Actions {
		if p.Actions[i].Via == ViaTransaction {
			p.Actions[i].Via = ViaRewrite
		}
	}
	return p
}

// maxEdits is the most changes that a transaction makes. With more of them, client-native's edit (124 ms for a new file with 1,000
// domains of two hosts) costs more than the rest of the pass. A rewrite of that file takes 3 ms.
const maxEdits = 2000

// maxLiveServers is the most new servers of one backend that are added live. Each one costs HAProxy more time the more servers the
// backend has: 500 take 40 ms on 3.2, and 20 ms on 3.0 and 3.4; 4,000 take 2.4 s on 3.2, and 0.5 s on 3.0 and 3.4. Nothing else goes
// through the socket during that time. A reload takes about 0.6 s for 20,000 servers, and other domains do not wait for it.
const maxLiveServers = 500

// wanted is what the domains of a scope should become.
type wanted struct {
	// file is for the managed file, process for the process. They differ if an operator set something on the socket, or HAProxy
	// refused something.
	file, process haproxy.Config
	// refused are the domains for which no reload is made: HAProxy refused a change of theirs, or their options are delayed.
	refused map[string]bool
	// retried are the domains that HAProxy refused to load, and that it gets again: only a reload shows whether it takes them now.
	retried map[string]bool
	// delayed are the domains whose options wait for the end of their cooldown, with the key of such an option.
	delayed map[string]string
}

// newPlan decides how HAProxy gets what is wanted. No other function does.
//
//	file and want differ:    one transaction; a rewrite if the file is missing, or a transaction would harm it or cost more
//	process and want differ: the Runtime API if the running process can do it, else one reload, with the reason
//
// A new domain is added to the process completely, or not at all (dynamicDomainsOf). A removed domain usually needs no reload: its
// servers are removed live, and a backend without servers answers 503, as for an unknown domain. If something follows our rules
// (st.Behind), HAProxy should skip the rules of the removed domain, if it can. Without a process (st.Down) the plan is only for the file.
func newPlan(want wanted, st haproxy.State) Plan {
	var p Plan
	edits := Diff(st.File, want.file)
	switch {
	case st.Deaf:
		p.Reload, p.cause = []string{"haproxy: it has lost its stats socket, which a reload gives back"}, ReloadRefused
	case st.Down == nil:
		p.planProcess(want, st, edits)
	}
	via := ViaTransaction
	if p.Rewrite = rewriteReason(edits, st); p.Rewrite != "" {
		via = ViaRewrite
	}
	p.Actions = slices.Grow(p.Actions, len(edits))
	for _, c := range edits {
		p.Actions = append(p.Actions, Action{via, c})
	}
	return p
}

func rewriteReason(edits []haproxy.Change, st haproxy.State) string {
	switch {
	case st.Missing:
		return "it is missing or empty"
	case st.StaleMap:
		return "the map file beside it is missing, does not say what it does, or is not the one that it reads"
	case len(edits) == 0:
		return ""
	case st.NoEdit != "":
		return st.NoEdit
	case slices.ContainsFunc(edits, changesMapRule):
		return "a transaction would not change the rule that reads the map file"
	case slices.ContainsFunc(edits, closesRule):
		return closedRuleReason
	case slices.ContainsFunc(edits, changesMarkedLines):
		return "a transaction would not keep hapsync's further lines in their order"
	case len(edits) > maxEdits:
		return fmt.Sprintf("%d changes are cheaper to write than to edit", len(edits))
	}
	return ""
}

// changesMarkedLines reports whether a change is about a backend with lines that hapsync marks.
func changesMarkedLines(c haproxy.Change) bool {
	marked := func(o haproxy.BackendOptions) bool { return o.Lines != "" || o.CheckHost != "" || o.Names != "" }
	switch ch := c.(type) {
	case haproxy.AddBackend:
		return marked(ch.Options)
	case haproxy.SetBackend:
		return marked(ch.Have) || marked(ch.Want)
	}
	return false
}

// planProcess adds the changes for the Runtime API, and the reasons for a reload.
func (p *Plan) planProcess(wanted wanted, st haproxy.State, edits []haproxy.Change) {
	want := wanted.process
	changes := Diff(st.Live, want)
	targets := targetsOf(st.Live, changes)
	dynamic := dynamicDomainsOf(changes, st, targets)
	p.dynamic = dynamic.live
	ruled := map[string]bool{} // domains with a new rule
	late := map[string]bool{}  // backends with a new server that comes with the reload
	reasons := wanted.reasons(st, edits)
	for _, c := range changes {
		switch ch := c.(type) {
		case haproxy.RemoveRule:
			if why := p.removeRule(ch, st); why != "" && !wanted.refused[c.Domain()] {
				reasons.add(c, why)
			}
			continue
		case haproxy.RemoveBackend:
			if ok, _ := st.Dynamic.Live(c); ok {
				p.Actions = append(p.Actions, Action{ViaRuntime, c})
			}
			continue
		case haproxy.AddServer:
			if targets[ch.Backend].isNew && !p.dynamic[c.Domain()] {
				continue // comes with its backend
			}
			ok, _ := live(c, st, targets)
			late[ch.Backend] = late[ch.Backend] || !ok
		case haproxy.AddRule:
			ruled[ch.Rule.Domain] = true
		case haproxy.SetRule:
			if ch.Want.Closed {
				if why := whyClosed(ch, want, st); why != "" {
					reasons.add(c, why)
				}
				continue
			}
		}
		ok, why := live(c, st, targets)
		named, _ := st.Dynamic.Live(c)
		if ok || p.dynamic[c.Domain()] && (c.Op() == haproxy.OpAdd || named) {
			p.Actions = append(p.Actions, Action{ViaRuntime, dynamic.inProcess(c)})
		} else if !wanted.refused[c.Domain()] {
			reasons.add(c, dynamic.why(c, why))
		}
	}
	p.Actions = slices.DeleteFunc(p.Actions, func(a Action) bool {
		backend := a.Change.Key().Backend
		return removes(a.Change) && late[backend] && !keepsServing(st.Live, want, backend)
	})
	p.addDynamic(changes, st)
	p.Reload, p.cause, p.needReload, p.options = reasons.lines(ruled), reasons.cause(), reasons.domains(), reasons.options()
}

// keepsServing reports whether a backend keeps a server that takes traffic. If it keeps none, and its new servers need a reload, the
// old ones are removed with that reload and not before.
func keepsServing(have, want haproxy.Config, backend string) bool {
	stays := false
	merge(serversOf(have, backend), serversOf(want, backend), byServer, func(have, want *haproxy.Server) {
		stays = stays || have != nil && want != nil && want.State == haproxy.Ready && want.Weight > 0
	})
	return stays
}

func removes(c haproxy.Change) bool { return c.Op() == haproxy.OpRemove }

// structural returns the domains that must wait for the file: more than their servers change, so HAProxy must accept the file, and
// usually load it, before the process gets their changes. A dynamic domain does not wait.
func (p Plan) structural() map[string]bool {
	waits := map[string]bool{}
	for _, a := range p.Actions {
		if a.Via != ViaRuntime && a.Change.Object() != haproxy.ObjectServer && !p.dynamic[a.Change.Domain()] {
			waits[a.Change.Domain()] = true
		}
	}
	return waits
}

// early returns the changes that are made in the process before the file is written. They move traffic. A domain that waits for a
// reload loses no server before it.
func (p Plan) early() []haproxy.Change {
	waits := p.structural()
	return slices.DeleteFunc(p.changes(ViaRuntime), func(c haproxy.Change) bool {
		if waits[c.Domain()] {
			return true
		}
		_, late := slices.BinarySearch(p.needReload, c.Domain())
		return late && removes(c)
	})
}

// domains are the domains of the plan's actions, sorted.
func (p Plan) domains() []string {
	domains := make([]string, len(p.Actions))
	for i, a := range p.Actions {
		domains[i] = a.Change.Domain()
	}
	slices.Sort(domains)
	return slices.Compact(domains)
}

// withMade is the plan, preceded by changes of servers that were made before it. A change that is also in the plan had no effect and
// appears once. If a removed server is still there, the plan shows it as it was before, and not drained, as HAProxy has it now.
func (p Plan) withMade(made []haproxy.Change) Plan {
	var actions []Action
	for _, c := range made {
		a := Action{ViaRuntime, c}
		if removes(c) {
			p.Actions = slices.DeleteFunc(slices.Clone(p.Actions), func(b Action) bool {
				return b.Via == ViaRuntime && removes(b.Change) && b.Change.Key() == c.Key()
			})
		}
		if !slices.Contains(p.Actions, a) {
			actions = append(actions, a)
		}
	}
	p.Actions = append(actions, p.Actions...)
	return p
}

// split divides a plan into the actions for which keep is true, and the rest. The rest also has the reload and the rewrite.
func (p Plan) split(keep func(Action) bool) (part, rest Plan) {
	rest = p
	rest.Actions = nil
	for _, a := range p.Actions {
		if keep(a) {
			part.Actions = append(part.Actions, a)
		} else {
			rest.Actions = append(rest.Actions, a)
		}
	}
	return part, rest
}

// waiting returns the domains with a change that waits for the file or a reload.
func (p Plan) waiting(st haproxy.State) map[string]bool {
	waits := p.structural()
	for _, name := range p.needReload {
		waits[name] = true
	}
	if st.Down != nil {
		for _, a := range p.Actions {
			waits[a.Change.Domain()] = true
		}
	}
	return waits
}

// withoutRefused is the plan with other actions for the domains that HAProxy refused: what was done in the file instead.
func (p Plan) withoutRefused(refused map[string]refusal, done []Action) Plan {
	_, rest := p.split(func(a Action) bool { return has(refused, a.Change.Domain()) })
	via := ViaTransaction
	if p.Rewrite != "" {
		via = ViaRewrite
	}
	for _, a := range done {
		if has(refused, a.Change.Domain()) {
			rest.Actions = append(rest.Actions, Action{via, a.Change})
		}
	}
	rest.needReload = slices.DeleteFunc(slices.Clone(p.needReload), func(name string) bool { return has(refused, name) })
	if len(rest.needReload) == 0 {
		rest.Reload = nil
	}
	return rest
}
