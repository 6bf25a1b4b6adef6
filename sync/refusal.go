package sync

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A refusal is what HAProxy did not accept of a domain.
type refusal struct {
	want   haproxy.Backend // what was wanted
	file   haproxy.Backend // what the file says instead
	reason string          // an outline of words
	words  string          // what HAProxy said; empty if it said nothing
	hosts  []string        // the hosts, if only their removal is held back; else empty
	reload bool            // HAProxy accepts the file, but a reload with it fails or does not help
	// useless is set if HAProxy made the reload, and it did not help: another one hardly will, unless HAProxy is started again.
	useless bool
	retry   retry
	// retrying is set while the change is tried again.
	retrying bool
}

// A retry is when something is tried again, and after which wait.
type retry struct {
	at   time.Time
	wait time.Duration
}

// holds reports whether the refusal still applies. If not, the change is tried again.
func (r *refusal) holds(want haproxy.Backend, now time.Time) bool {
	switch {
	case r.retrying:
		return false
	case r.reload:
		return now.Before(r.retry.at)
	}
	return sameBackend(want, r.want) && !due(r.retry.at, now)
}

// withHeld adds to servers of the process those whose removal is held back: they take no traffic.
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

// refuse records what HAProxy refused.
func (m *memory) refuse(refused map[string]refusal) {
	for name, r := range refused {
		d := m.at(name)
		if r.reload {
			if was := d.refused; was != nil && was.reload {
				r.retry.wait = was.retry.wait
			}
			first, last := minRetry, maxRefusedRetry
			if r.useless {
				first, last = minUselessRetry, maxUselessRetry
			}
			r.retry.wait = min(max(2*r.retry.wait, first), last)
			r.retry.at = time.Now().Add(r.retry.wait)
		}
		d.refused = &r
	}
}

// reloadRefusal is why HAProxy refuses a reload that a domain needs; empty if there is no such domain.
func (m *memory) reloadRefusal() string {
	for _, name := range m.domainsWhere(func(d *domainState) bool { return d.refused != nil && d.refused.reload }) {
		return name + " needs a reload: " + m.domains[name].refused.reason
	}
	return ""
}

// retryRefused makes the next pass try refused changes of the file again. With reloads it does so for all changes, and ends all rests.
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

// postponeReloads delays retries that need a reload until reloads are allowed: without one, they would write the file in vain.
func (m *memory) postponeReloads(at time.Time) {
	for _, d := range m.domains {
		if d.refused != nil && d.refused.reload {
			d.refused.retry.at = later(d.refused.retry.at, at)
		}
	}
}

// leftOut are the problems of what HAProxy refused, except in those domains of a scope that are tried again. Outside the scope there
// are also the hosts at HAProxy's own addresses, what the limits leave out, and options that rest. They are sorted by key.
func (m *memory) leftOut(prefix string, scope haproxy.Scope, refused map[string]bool) []registry.Problem {
	var left []registry.Problem
	for name, d := range m.domains {
		if !scope.Has(name) {
			left = append(left, d.ownAddress...)
			if d.limited != "" {
				left = append(left, limitProblem(prefix, name, d.limited))
			}
			if d.cooldown.key != "" {
				left = append(left, d.cooldown.problem(prefix, name))
			}
		}
		if d.refused != nil && (!scope.Has(name) || refused[name]) {
			left = append(left, d.refused.problems(prefix, name)...)
		}
	}
	slices.SortFunc(left, func(a, b registry.Problem) int { return cmp.Compare(a.Key, b.Key) })
	return left
}

// problems are those of a domain: one, or one for each host.
func (r *refusal) problems(prefix, domain string) []registry.Problem {
	p := registry.Problem{Key: prefix + "/" + domain, Domain: domain}
	switch {
	case r.reload:
		p.Reason = fmt.Sprintf("left as it was, a reload is tried again at %s: %s", r.retry.at.Format(time.TimeOnly), r.reason)
	case len(r.hosts) == 0:
		p.Reason = "left as it was: HAProxy refuses the change: " + r.reason
	default:
		p.Reason = "out of service, but left in the file: HAProxy refuses to be without it: " + r.reason
	}
	if r.reload || r.want.Name == "" || len(r.hosts) == 0 {
		return []registry.Problem{p}
	}
	var hosts []registry.Problem
	for _, host := range r.hosts {
		hosts = append(hosts, registry.Problem{Key: p.Key + "/" + host, Domain: domain, Host: host, Reason: p.Reason})
	}
	return hosts
}
