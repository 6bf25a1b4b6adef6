package sync

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

const (
	defaultMaxHosts = 1000
	// defaultMaxDomains is twice the number that hapsync is measured with: HAProxy tries the rules of all domains one by one, and
	// at 10,000 that has become the most of a request's cost.
	defaultMaxDomains = 20000
)

// An amount is how much is asked for: of one domain, or of several.
type amount struct{ domains, servers, checks int }

func amountOf(b haproxy.Backend) amount { return amount{1, len(b.Servers), b.Checks()} }

func (a amount) plus(b amount) amount {
	return amount{a.domains + b.domains, a.servers + b.servers, a.checks + b.checks}
}

func (a amount) minus(b amount) amount {
	return amount{a.domains - b.domains, a.servers - b.servers, a.checks - b.checks}
}

// A limiter takes of what the registry asks for as much as the limits allow. What HAProxy has already stays, so that a new host
// pushes no other one out; of what is new the first by name come in.
type limiter struct {
	policy Policy
	st     haproxy.State
	others amount            // what is asked for outside the scope
	over   map[string]string // what is left out, and why, by domain
}

// limit is what is asked for within the limits, and what is left out, and why, by domain. others is what is asked for of the
// domains outside the scope.
func (p Policy) limit(asked haproxy.Config, st haproxy.State, others amount) (haproxy.Config, map[string]string) {
	l := limiter{p, st, others, map[string]string{}}
	backends := l.domains(asked.Backends)
	backends = l.hosts(backends)
	asked.Backends = l.checks(backends)
	return asked, l.over
}

// domains leaves out new domains.
func (l limiter) domains(backends []haproxy.Backend) []haproxy.Backend {
	most := cmp.Or(l.policy.MaxDomains, defaultMaxDomains)
	room := most - l.others.domains
	if len(backends) <= room {
		return backends
	}
	isNew := func(b haproxy.Backend) bool {
		return !l.any(b.Name, func(haproxy.Backend) bool { return true })
	}
	for _, b := range backends {
		if !isNew(b) {
			room--
		}
	}
	return slices.DeleteFunc(slices.Clone(backends), func(b haproxy.Backend) bool {
		if !isNew(b) {
			return false
		}
		if room--; room >= 0 {
			return false
		}
		l.leave(b.Name, fmt.Sprintf("left out: hapsync takes %d domains at most, and has them; delete domains that are not needed, or raise --max-domains", most))
		return true
	})
}

// hosts leaves out new hosts of domains that have too many.
func (l limiter) hosts(backends []haproxy.Backend) []haproxy.Backend {
	most := cmp.Or(l.policy.MaxHosts, defaultMaxHosts)
	backends = slices.Clone(backends)
	for i, b := range backends {
		if len(b.Servers) > most {
			isNew := func(s haproxy.Server) bool { return !l.has(b.Name, s) }
			backends[i] = l.without(b, isNew, most-(len(b.Servers)-countOf(b, isNew)), fmt.Sprintf("hapsync takes %d hosts of a domain at most; deregister some, or raise --max-hosts", most))
		}
	}
	return backends
}

// checks leaves out what HAProxy could not start with again: new checks for which it has no descriptors. Domains with few of them
// come first.
func (l limiter) checks(backends []haproxy.Backend) []haproxy.Backend {
	room, known := l.st.Descriptors.Checks()
	room -= l.others.checks + (haproxy.Config{Backends: backends}).Checks()
	if !known || room >= 0 {
		return backends
	}
	order, fresh := make([]int, len(backends)), make([]int, len(backends))
	isNew := func(backend string) func(haproxy.Server) bool {
		return func(s haproxy.Server) bool { return s.Check && !l.checked(backend, s) }
	}
	for i, b := range backends {
		order[i], fresh[i] = i, countOf(b, isNew(b.Name))
		room += fresh[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(fresh[a], fresh[b]) })
	why := fmt.Sprintf("HAProxy may have %d descriptors, and does not start if it may come to need more, one for each server with a check among them; "+
		"raise LimitNOFILE of its unit (or fd-hard-limit), lower maxconn in its global section, or put \"off\" into the domain's check key", l.st.Descriptors.Limit)
	for _, i := range order {
		if b := backends[i]; fresh[i] > room {
			backends[i] = l.without(b, isNew(b.Name), room, why)
		}
		room = max(0, room-fresh[i])
	}
	return slices.DeleteFunc(backends, func(b haproxy.Backend) bool { return len(b.Servers) == 0 })
}

// without is a backend with only so many of some of its servers. One that HAProxy has without a check stays so.
func (l limiter) without(b haproxy.Backend, some func(haproxy.Server) bool, room int, why string) haproxy.Backend {
	var kept []haproxy.Server
	var left []string
	for _, s := range b.Servers {
		if some(s) {
			if room--; room < 0 {
				left = append(left, s.Name)
				if !l.has(b.Name, s) {
					continue
				}
				s.Check = false
			}
		}
		kept = append(kept, s)
	}
	if b.Servers = kept; len(left) > 0 {
		l.leave(b.Name, fmt.Sprintf("%s left out (%s): %s", registry.Count(len(left), "host"), nameSome(left), why))
	}
	return b
}

func (l limiter) leave(backend, why string) {
	domain, _ := haproxy.DomainOf(backend)
	l.over[domain] = why
}

// any reports whether something holds of a backend as the file has it, or the process.
func (l limiter) any(backend string, holds func(haproxy.Backend) bool) bool {
	return slices.ContainsFunc([]haproxy.Config{l.st.File, l.st.Live}, func(c haproxy.Config) bool {
		b, there := haproxy.FindBackend(c.Backends, backend)
		return there && holds(b)
	})
}

func (l limiter) has(backend string, s haproxy.Server) bool {
	return l.any(backend, func(b haproxy.Backend) bool { _, there := haproxy.FindServer(b, s.Name); return there })
}

func (l limiter) checked(backend string, s haproxy.Server) bool {
	return l.any(backend, func(b haproxy.Backend) bool { had, _ := haproxy.FindServer(b, s.Name); return had.Check })
}

func countOf(b haproxy.Backend, holds func(haproxy.Server) bool) int {
	n := 0
	for _, s := range b.Servers {
		if holds(s) {
			n++
		}
	}
	return n
}

// overProblem is a domain of which something is left out.
func overProblem(prefix, domain, why string) registry.Problem {
	return registry.Problem{Key: prefix + "/" + domain, Domain: domain, Reason: why}
}
