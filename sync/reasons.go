package sync

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// reasons collects the changes that need a reload, each with why.
type reasons struct {
	changes []haproxy.Change
	whys    []string // one for each change
}

func (r *reasons) add(c haproxy.Change, why string) {
	r.changes, r.whys = append(r.changes, c), append(r.whys, why)
}

// reasons returns reasons for a reload even if the process is as wanted.
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

func (r *reasons) cause() (cause ReloadCause) {
	for _, c := range r.changes {
		switch c.(type) {
		case haproxy.AddBackend, haproxy.AddRule, haproxy.RemoveRule:
			return ReloadDomain
		case haproxy.SetBackend, haproxy.SetRule:
			cause = ReloadOptions
		default:
			cause = cmp.Or(cause, ReloadServer)
		}
	}
	return cause
}

// domains are the domains of the changes, sorted.
func (r *reasons) domains() []string {
	names := map[string]bool{}
	for _, c := range r.changes {
		names[c.Domain()] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// options are the domains with a change in place, sorted.
func (r *reasons) options() []string {
	inPlace := slices.DeleteFunc(slices.Clone(r.changes), func(c haproxy.Change) bool { return c.Op() != haproxy.OpSet })
	return (&reasons{changes: inPlace}).domains()
}

// namedReasons is how many objects with the same reason are named. The others are counted.
const namedReasons = 3

// lines joins objects with the same reason to sorted lines. A new domain has a new backend and a new rule: only the rule is named.
// ruled are the domains with a new rule.
func (r *reasons) lines(ruled map[string]bool) []string {
	objects := map[string][]string{}
	fresh := map[string]bool{} // domains with a new backend
	for _, c := range r.changes {
		if add, ok := c.(haproxy.AddBackend); ok {
			fresh[add.Domain()] = true
		}
	}
	domains := map[string][]string{}
	for i, c := range r.changes {
		_, backend := c.(haproxy.AddBackend)
		_, rule := c.(haproxy.AddRule)
		switch why, domain := r.whys[i], c.Domain(); {
		case backend && ruled[domain]:
		case rule && fresh[domain]:
			domains[why] = append(domains[why], domain)
		default:
			objects[why] = append(objects[why], object(c))
		}
	}
	var lines []string
	for why, names := range domains {
		lines = append(lines, fmt.Sprintf("new domain: %s (%s)", nameSome(slices.Compact(names)), why))
	}
	for why, names := range objects {
		names = slices.Compact(names)
		if len(names) > namedReasons {
			lines = append(lines, nameSome(names)+": "+why)
			continue
		}
		for _, name := range names {
			lines = append(lines, name+": "+why)
		}
	}
	slices.Sort(lines)
	return lines
}

// object names what a change is about.
func object(c haproxy.Change) string {
	switch c.Object() {
	case haproxy.ObjectBackend:
		return "backend " + c.Key().Backend
	case haproxy.ObjectServer:
		return "server " + c.Key().String()
	}
	return "use_backend rule of " + c.Domain()
}
