package render

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/sync"
)

// foldAbove is the number of steps above which a plan is summarized.
const foldAbove = 200

// writeSteps writes the steps of a plan by domain. If the plan is held, removals come first.
func (r Report) writeSteps(out *bytes.Buffer) {
	if r.Plan.Rewrite != "" {
		fmt.Fprintf(out, "%-12s   %s\n", sync.ViaRewrite, "the managed file: "+r.Plan.Rewrite)
	}
	actions := slices.Clone(r.Plan.Actions)
	slices.SortStableFunc(actions, func(a, b sync.Action) int { return cmp.Compare(a.Change.Domain(), b.Change.Domain()) })
	if r.Held != "" && !r.Applied {
		slices.SortStableFunc(actions, func(a, b sync.Action) int { return cmp.Compare(heldOrder(a), heldOrder(b)) })
	}
	if r.Summary || len(actions) > foldAbove && r.Domain == "" {
		writeFolded(out, actions)
		return
	}
	for _, a := range actions {
		fmt.Fprintf(out, "%-12s %s\n", a.Via, a.Change)
	}
}

func heldOrder(a sync.Action) int {
	if a.Change.Op() == haproxy.OpRemove {
		return 0
	}
	return 1
}

// A fold is a kind of step, for the summary of a plan.
type fold struct {
	via    sync.Via
	op     haproxy.Op
	object string // wholeDomain if a whole domain is added or removed
}

const wholeDomain = "domain"

// writeFolded writes a line for each kind of step, with the number of steps and some of the domains.
func writeFolded(out *bytes.Buffer, actions []sync.Action) {
	type place struct {
		fold
		domain string
	}
	whole := map[place]bool{}
	for _, a := range actions {
		if c := a.Change; c.Object() == haproxy.ObjectBackend && c.Op() != haproxy.OpSet {
			whole[place{fold{a.Via, c.Op(), wholeDomain}, c.Domain()}] = true
		}
	}
	var folds []fold
	steps, servers := map[fold][]string{}, map[fold]int{}
	for _, a := range actions {
		key := fold{a.Via, a.Change.Op(), wholeDomain}
		if !whole[place{key, a.Change.Domain()}] {
			key.object = string(a.Change.Object())
		}
		if steps[key] == nil {
			folds = append(folds, key)
		}
		steps[key] = append(steps[key], a.Change.Domain())
		if a.Change.Object() == haproxy.ObjectServer {
			servers[key]++
		}
	}
	ways := []sync.Via{sync.ViaRuntime, sync.ViaTransaction, sync.ViaRewrite}
	slices.SortStableFunc(folds, func(a, b fold) int {
		return cmp.Compare(slices.Index(ways, a.via), slices.Index(ways, b.via))
	})
	for _, f := range folds {
		fmt.Fprintf(out, "%-12s %s %s\n", f.via, signOf(f.op), f.text(steps[f], servers[f]))
	}
}

func signOf(op haproxy.Op) string {
	return map[haproxy.Op]string{haproxy.OpAdd: "+", haproxy.OpSet: "~", haproxy.OpRemove: "-"}[op]
}

// text counts the steps of a kind. domains has an entry for each step.
func (f fold) text(domains []string, servers int) string {
	n := len(domains)
	slices.Sort(domains)
	domains = slices.Compact(domains)
	if f.object == wholeDomain {
		return fmt.Sprintf("%s with %s: %s", many(len(domains), "domain"), many(servers, "server"), someOf(domains))
	}
	return fmt.Sprintf("%s of %s", many(n, f.object), someOf(domains))
}

// someOf names some domains, and counts the others.
func someOf(domains []string) string {
	named := strings.Join(domains[:min(len(domains), maxDomainsShown)], ", ")
	if more := len(domains) - maxDomainsShown; more > 0 {
		return named + " and " + Thousands(more) + " more"
	}
	return named
}

func many(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return Thousands(n) + " " + what
}

// Thousands is a whole number with commas: 10,000.
func Thousands(n any) string {
	digits := fmt.Sprint(n)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}
