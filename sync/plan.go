package sync

import (
	"fmt"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// A Via is the way on which a change reaches HAProxy.
type Via string

// The ways of a change, in the order in which a pass takes them.
const (
	ViaRuntime     Via = "runtime"     // the Runtime API: at once, without a reload
	ViaTransaction Via = "transaction" // a validated edit of the managed file
	ViaRewrite     Via = "rewrite"     // the managed file written as a whole
)

// An Action is a change and its way.
type Action struct {
	Via    Via
	Change haproxy.Change
}

// A Plan is what a pass would do. The zero Plan is "in line".
type Plan struct {
	// Actions are sorted: runtime first, then the file; in each, additions before removals.
	Actions []Action
	// Rewrite says why the whole file is written; empty where it is not.
	Rewrite string
	// Reload holds the reasons of the reload, sorted; without one there is no reload.
	Reload []string

	// dynamic are the domains that come to the process without a reload, or have.
	dynamic    map[string]bool
	cause      ReloadCause // of the reload, the first that applies of domain, options, server
	needReload []string    // the domains that need the reload, sorted
	// options are those of them of which an option, or a server, changes in place.
	options []string
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Actions) == 0 && p.Rewrite == "" && len(p.Reload) == 0 }

// changes are those of the plan that go by one way.
func (p Plan) changes(via Via) []haproxy.Change {
	var changes []haproxy.Change
	for _, a := range p.Actions {
		if a.Via == via {
			changes = append(changes, a.Change)
		}
	}
	return changes
}

// EditsFile reports whether the plan writes the managed file.
func (p Plan) EditsFile() bool {
	return p.Rewrite != "" || slices.ContainsFunc(p.Actions, func(a Action) bool { return a.Via == ViaTransaction })
}

// rewritten is the plan with a rewrite in the place of the transaction.
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

// maxEdits is the number of changes up to which a transaction is taken: beyond it, client-native's edit of a new file
// (124 ms for 1,000 domains of two hosts) costs more than the rest of the pass, and a rewrite some 3 ms.
const maxEdits = 2000

// maxLive is the number of new servers of one backend up to which they are added live. Each costs HAProxy more the more the backend
// has: on 3.2 500 took 40 ms and 4,000 took 2.4 s, on 3.0 and 3.4 20 ms and 0.5 s, and nothing else goes through its socket
// meanwhile. A reload, which others do not wait for, takes some 0.6 s for 20,000.
const maxLive = 500

// wanted is what a scope is to be brought to.
type wanted struct {
	// file is what the managed file is to say, process what the process is to run: they differ where an operator has set
	// something on the socket, or HAProxy has refused something.
	file, process haproxy.Config
	// refused are the domains of which HAProxy has refused something, or whose options rest: no reload is made for them.
	refused map[string]bool
	// retried are those of which HAProxy has refused to load something that it gets again: by a reload, which tells.
	retried map[string]bool
	// delayed are the domains whose options rest, with the key of the one that waits.
	delayed map[string]string
}

// newPlan decides how HAProxy is brought to what is wanted; this is the only place that does.
//
//	file and want differ:    one transaction; a rewrite where the file is missing, a transaction would harm it, or cost more
//	process and want differ: the Runtime API where the running process can take it, else one reload, with the reason
//
// A domain comes to the process as a whole or not at all (comingLive). Domains that went away need no reload, as a rule: their servers are
// taken out live, and a backend without servers answers 503 as an unknown domain does. Where something stands behind our rules (st.Behind),
// HAProxy is to pass these by, if it can. Without a process (st.Down) only the file is planned for.
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
	case slices.ContainsFunc(edits, rulesByMap):
		return "a transaction would not change the rule that reads the map file"
	case slices.ContainsFunc(edits, shuts):
		return shutting
	case slices.ContainsFunc(edits, marksLines):
		return "a transaction would not keep hapsync's further lines in their order"
	case len(edits) > maxEdits:
		return fmt.Sprintf("%d changes are cheaper to write than to edit", len(edits))
	}
	return ""
}

// marksLines reports whether a change is of marked lines of a backend, or beside such.
func marksLines(c haproxy.Change) bool {
	marks := func(o haproxy.BackendOptions) bool { return o.Lines != "" || o.CheckHost != "" || o.Names != "" }
	switch ch := c.(type) {
	case haproxy.AddBackend:
		return marks(ch.Options)
	case haproxy.SetBackend:
		return marks(ch.Have) || marks(ch.Want)
	}
	return false
}

func (p *Plan) planProcess(wanted wanted, st haproxy.State, edits []haproxy.Change) {
	want := wanted.process
	changes := Diff(st.Live, want)
	running := runningOf(st.Live, changes)
	news := comingLive(changes, st, running)
	p.dynamic = news.coming
	ruled := map[string]bool{} // domains whose new rule is a reason enough
	late := map[string]bool{}  // backends with a server that only comes with the reload
	reasons := wanted.reasons(st, edits)
	for _, c := range changes {
		switch ch := c.(type) {
		case haproxy.RemoveRule:
			if why := p.unrule(ch, st); why != "" && !wanted.refused[c.Domain()] {
				reasons.add(c, why)
			}
			continue
		case haproxy.RemoveBackend:
			if ok, _ := st.Dynamic.Live(c); ok {
				p.Actions = append(p.Actions, Action{ViaRuntime, c})
			}
			continue
		case haproxy.AddServer:
			if running[ch.Backend].fresh && !p.dynamic[c.Domain()] {
				continue // comes with its backend
			}
			ok, _ := live(c, st.Capabilities, running)
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
		ok, why := live(c, st.Capabilities, running)
		named, _ := st.Dynamic.Live(c)
		if ok || p.dynamic[c.Domain()] && (c.Op() == haproxy.OpAdd || named) {
			p.Actions = append(p.Actions, Action{ViaRuntime, news.inProcess(c)})
		} else if !wanted.refused[c.Domain()] {
			reasons.add(c, news.why(c, why))
		}
	}
	p.Actions = slices.DeleteFunc(p.Actions, func(a Action) bool {
		backend := a.Change.Key().Backend
		return removes(a.Change) && late[backend] && !keepsServing(st.Live, want, backend)
	})
	p.came(changes, st)
	p.Reload, p.cause, p.needReload, p.options = reasons.lines(ruled), reasons.cause(), reasons.domains(), reasons.options()
}

// reasons are those to load the file that no change of the process gives.
func (w wanted) reasons(st haproxy.State, edits []haproxy.Change) (r reasons) {
	for _, c := range edits {
		if w.retried[c.Domain()] {
			r.add(c, "HAProxy refused to load it, and is asked again")
		}
	}
	for _, c := range weightReloads(w.file, st) {
		if !w.refused[c.Domain()] {
			r.add(c, "its agent-check sets percentages of the weight that HAProxy has loaded, which is 0")
		}
	}
	return r
}

// keepsServing reports whether a server that takes traffic stays in a backend. Where none does and those that come need a
// reload, the ones that leave serve until then, and go with it.
func keepsServing(have, want haproxy.Config, backend string) bool {
	stays := false
	for _, b := range want.Backends {
		if b.Name != backend {
			continue
		}
		merge(serversOf(have, backend), b.Servers, byServer, func(have, want *haproxy.Server) {
			stays = stays || have != nil && want != nil && want.State == haproxy.Ready && want.Weight > 0
		})
	}
	return stays
}

// running is what a plan asks of a backend that the process has.
type running struct {
	haproxy.BackendOptions
	added int  // servers
	fresh bool // it is to be added
}

func runningOf(live haproxy.Config, changes []haproxy.Change) map[string]running {
	all := map[string]running{}
	for _, b := range live.Backends {
		all[b.Name] = running{BackendOptions: b.Options}
	}
	for _, c := range changes {
		if add, ok := c.(haproxy.AddBackend); ok {
			all[add.Name] = running{BackendOptions: add.Options, fresh: true}
		}
	}
	for _, c := range changes {
		if add, ok := c.(haproxy.AddServer); ok {
			if b, there := all[add.Backend]; there {
				b.added++
				all[add.Backend] = b
			}
		}
	}
	return all
}

// live adds to what the version can do what the backend's algorithm allows, and what takes too long.
func live(c haproxy.Change, caps haproxy.Capabilities, backends map[string]running) (ok bool, why string) {
	static := func(backend string) string {
		if b := backends[backend]; !b.Dynamic() {
			return "balance " + b.Balance
		}
		return ""
	}
	switch ch := c.(type) {
	case haproxy.AddServer:
		if n := backends[ch.Backend].added; n > maxLive {
			return false, fmt.Sprintf("%d new servers of a backend come sooner by a reload than one by one", n)
		}
		if s := static(ch.Backend); s != "" {
			return false, s + " takes no server while it runs"
		}
	case haproxy.SetServer:
		if s := static(ch.Backend); s != "" && ch.Have.Weight != ch.Want.Weight {
			return false, s + " takes no weight while it runs"
		}
	}
	return caps.Live(c)
}

// removes reports whether a change takes something out of the process.
func removes(c haproxy.Change) bool { return c.Op() == haproxy.OpRemove }

// structural are the domains that have to wait for the file: more than their servers change, so that the file has to be
// accepted, and mostly loaded, before anything of it is done in the process. One that comes without a reload waits for nothing.
func (p Plan) structural() map[string]bool {
	waits := map[string]bool{}
	for _, a := range p.Actions {
		if a.Via != ViaRuntime && a.Change.Object() != haproxy.ObjectServer && !p.dynamic[a.Change.Domain()] {
			waits[a.Change.Domain()] = true
		}
	}
	return waits
}

// early are the changes in the process that are made before the file is written: what moves traffic. A domain that waits for a
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

// domains are those of the plan's actions, sorted.
func (p Plan) domains() []string {
	domains := make([]string, len(p.Actions))
	for i, a := range p.Actions {
		domains[i] = a.Change.Domain()
	}
	slices.Sort(domains)
	return slices.Compact(domains)
}

// withMade is the plan withMade changes of servers that were made before it. Those that are in it had not come into effect. A server that was
// removed and is there yet stands in it as it was, and not as HAProxy has it by now, which is drained.
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

// split is the part of a plan whose actions are told by keep; reloads and a rewrite are of the rest.
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

// waiting are the domains of which something waits for the file or a reload.
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

// withoutRefused is the plan withoutRefused what it would do to some domains, which HAProxy refused, and with what was done in the file instead.
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
	rest.needReload = slices.DeleteFunc(slices.Clone(p.needReload), func(name string) bool { _, ok := refused[name]; return ok })
	if len(rest.needReload) == 0 {
		rest.Reload = nil
	}
	return rest
}
