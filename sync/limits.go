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

// An amount is how much is asked for: of one domain, or of several. The descriptors are those that HAProxy reserves for checks.
type amount struct{ domains, servers, descriptors int }

func amountOf(b haproxy.Backend) amount { return amount{1, len(b.Servers), b.Descriptors()} }

func (a amount) plus(b amount) amount {
	return amount{a.domains + b.domains, a.servers + b.servers, a.descriptors + b.descriptors}
}

func (a amount) minus(b amount) amount {
	return amount{a.domains - b.domains, a.servers - b.servers, a.descriptors - b.descriptors}
}

// A limiter takes of what the registry asks for as much as the limits allow. What HAProxy has already stays, so that a new host
// pushes no other one out; of what is new the first by name come in.
type limiter struct {
	policy  Policy
	st      haproxy.State
	others  amount            // what is asked for outside the scope
	limited map[string]string // what is left out, and why, by domain
}

// limit is what is asked for within the limits, and what is left out, and why, by domain. others is what is asked for of the
// domains outside the scope.
func (p Policy) limit(asked haproxy.Config, st haproxy.State, others amount) (haproxy.Config, map[string]string) {
	l := limiter{p, st, others, map[string]string{}}
	backends := l.domains(asked.Backends)
	backends = l.hosts(backends)
	asked.Backends = l.checks(backends)
	return asked, l.limited
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
			fresh := func(s haproxy.Server) int {
				if l.has(b.Name, s) {
					return 0
				}
				return 1
			}
			backends[i] = l.without(b, fresh, most-(len(b.Servers)-sumOf(b, fresh)), fmt.Sprintf("hapsync takes %d hosts of a domain at most; deregister some, or raise --max-hosts", most))
		}
	}
	return backends
}

// checks leaves out what HAProxy could not start with again: new checks for which it has no descriptors. Domains with few of them
// come first.
func (l limiter) checks(backends []haproxy.Backend) []haproxy.Backend {
	room, known := l.st.Descriptors.Room()
	room -= l.others.descriptors + (haproxy.Config{Backends: backends}).Descriptors()
	if !known || room >= 0 {
		return backends
	}
	order, fresh := make([]int, len(backends)), make([]int, len(backends))
	for i, b := range backends {
		order[i], fresh[i] = i, sumOf(b, l.freshOf(b))
		room += fresh[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(fresh[a], fresh[b]) })
	why := fmt.Sprintf("HAProxy may have %d descriptors, and does not start if it may come to need more, some for the checks of each server among them; "+
		"raise LimitNOFILE of its unit (or ulimit-n, fd-hard-limit), lower its maxconn, or put \"off\" into the domain's check key", l.st.Descriptors.Limit)
	for _, i := range order {
		if b := backends[i]; fresh[i] > room {
			backends[i] = l.without(b, l.freshOf(b), room, why)
		}
		room = max(0, room-fresh[i])
	}
	return slices.DeleteFunc(backends, func(b haproxy.Backend) bool { return len(b.Servers) == 0 })
}

// freshOf is how many descriptors a server of a backend needs that HAProxy does not need yet.
func (l limiter) freshOf(b haproxy.Backend) func(haproxy.Server) int {
	return func(s haproxy.Server) int {
		switch {
		case !l.has(b.Name, s):
			return b.DescriptorsOf(s)
		case s.Check && !l.checked(b.Name, s):
			return 1
		}
		return 0
	}
}

// without is a backend with only so much of what is fresh of its servers. One that HAProxy has without a check stays so.
func (l limiter) without(b haproxy.Backend, fresh func(haproxy.Server) int, room int, why string) haproxy.Backend {
	var kept []haproxy.Server
	var left []string
	for _, s := range b.Servers {
		if n := fresh(s); n > 0 {
			if room -= n; room < 0 {
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
	l.limited[domain] = why
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

func sumOf(b haproxy.Backend, of func(haproxy.Server) int) int {
	n := 0
	for _, s := range b.Servers {
		n += of(s)
	}
	return n
}

// limitProblem is a domain of which something is left out.
func limitProblem(prefix, domain, why string) registry.Problem {
	return registry.Problem{Key: prefix + "/" + domain, Domain: domain, Reason: why}
}
