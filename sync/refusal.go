package sync

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A refusal is what HAProxy did not take of a domain.
type refusal struct {
	want   haproxy.Backend // what was wanted
	file   haproxy.Backend // what the file says instead
	reason string          // of what kind, and where
	words  string          // what HAProxy said; empty where it said nothing
	hosts  []string        // whose removal is all that is held back; empty where more is
	reload bool            // HAProxy accepts the file, but a reload with it fails, or does not help
	// useless is set where HAProxy made the reload, and nothing came of it: another one will hardly help, unless HAProxy is started again.
	useless bool
	retry   retry
	// retrying is set while it is tried again.
	retrying bool
}

// A retry is when something is tried again, and how long it waits after that.
type retry struct {
	at   time.Time
	wait time.Duration
}

// holds reports whether the refusal is taken for an answer, and not tried again.
func (r *refusal) holds(want haproxy.Backend, now time.Time) bool {
	switch {
	case r.retrying:
		return false
	case r.reload:
		return now.Before(r.retry.at)
	}
	return sameBackend(want, r.want) && !due(r.retry.at, now)
}

// withHeld are servers of the process with those whose removal is held back: they take no traffic.
func (r *refusal) withHeld(servers []haproxy.Server) []haproxy.Server {
	if len(r.hosts) == 0 {
		return servers
	}
	servers = slices.Clone(servers)
	for _, s := range r.file.Servers {
		if slices.Contains(r.hosts, s.Name) {
			servers = append(servers, s)
		}
	}
	slices.SortFunc(servers, byServer)
	return servers
}

// refuse takes note of what HAProxy refused.
func (m *memory) refuse(refused map[string]refusal) {
	for name, r := range refused {
		d := m.at(name)
		if r.reload {
			if was := d.refused; was != nil && was.reload {
				r.retry.wait = was.retry.wait
			}
			first, last := retryFirst, refusedLast
			if r.useless {
				first, last = uselessFirst, uselessLast
			}
			r.retry.wait = min(max(2*r.retry.wait, first), last)
			r.retry.at = time.Now().Add(r.retry.wait)
		}
		d.refused = &r
	}
}

// unloaded is why HAProxy refuses a reload that some domain needs; empty where none does.
func (m *memory) unloaded() string {
	for _, name := range m.names(func(d *domainState) bool { return d.refused != nil && d.refused.reload }) {
		return name + " needs a reload: " + m.domains[name].refused.reason
	}
	return ""
}

// retryRefused makes the next pass try again what HAProxy refused: of the file, or, with reloads, all; then no options rest.
func (m *memory) retryRefused(reloads bool) {
	for _, d := range m.domains {
		if d.refused != nil && (!d.refused.reload || reloads) {
			d.refused.retry.at = time.Now()
		}
		if reloads {
			d.cooldown.until = time.Now()
		}
	}
}

// reloadsFrom puts off what is tried again by a reload until one is allowed: the file is not written without it.
func (m *memory) reloadsFrom(at time.Time) {
	for _, d := range m.domains {
		if d.refused != nil && d.refused.reload {
			d.refused.retry.at = later(d.refused.retry.at, at)
		}
	}
}

// leftOut are the domains and hosts that HAProxy refused, but for those of a scope that are tried again, and, outside the scope,
// the hosts at HAProxy's own addresses, those that the limits leave out and those whose options rest.
func (m *memory) leftOut(prefix string, scope haproxy.Scope, refused map[string]bool) []registry.Problem {
	var left []registry.Problem
	for name, d := range m.domains {
		if !scope.Has(name) {
			left = append(left, d.ownAddress...)
		}
		if d.limited != "" && !scope.Has(name) {
			left = append(left, limitProblem(prefix, name, d.limited))
		}
		if d.cooldown.key != "" && !scope.Has(name) {
			left = append(left, d.cooldown.problem(prefix, name))
		}
		switch r := d.refused; {
		case r == nil || scope.Has(name) && !refused[name]:
		case r.reload:
			left = append(left, registry.Problem{Key: prefix + "/" + name, Domain: name,
				Reason: fmt.Sprintf("left as it was, a reload is tried again at %s: %s", r.retry.at.Format(time.TimeOnly), r.reason)})
		case len(r.hosts) > 0 && r.want.Name == "":
			left = append(left, registry.Problem{Key: prefix + "/" + name, Domain: name,
				Reason: "out of service, but left in the file: HAProxy refuses to be without it: " + r.reason})
		case len(r.hosts) > 0:
			for _, host := range r.hosts {
				left = append(left, registry.Problem{Key: prefix + "/" + name + "/" + host, Domain: name, Host: host,
					Reason: "out of service, but left in the file: HAProxy refuses to be without it: " + r.reason})
			}
		default:
			left = append(left, registry.Problem{Key: prefix + "/" + name, Domain: name, Reason: "left as it was: HAProxy refuses the change: " + r.reason})
		}
	}
	slices.SortFunc(left, func(a, b registry.Problem) int { return cmp.Compare(a.Key, b.Key) })
	return left
}
