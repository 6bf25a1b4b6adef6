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
	// defaultMaxDomains is twice the largest number in hapsync's measurements. HAProxy tries the rules of all domains one by one: with
	// 10,000 domains, that is most of the cost of a request.
	defaultMaxDomains = 20000
)

// An amount is how much the registry asks for, for one domain or several. HAProxy reserves the descriptors for health checks.
type amount struct{ domains, servers, descriptors int }

func amountOf(b haproxy.Backend) amount { return amount{1, len(b.Servers), b.Descriptors()} }

func (a amount) plus(b amount) amount {
	return amount{a.domains + b.domains, a.servers + b.servers, a.descriptors + b.descriptors}
}

func (a amount) minus(b amount) amount {
	return amount{a.domains - b.domains, a.servers - b.servers, a.descriptors - b.descriptors}
}

// A limiter cuts what the registry asks for to the limits. What HAProxy already has stays, so that no new host displaces an old one.
// New ones are taken in the order of their names.
type limiter struct {
	policy  Policy
	st      haproxy.State
	others  amount            // what the registry asks for outside the scope
	limited map[string]string // why something is left out, by domain
}

// limit returns what is asked for within the limits, and, by domain, why something is left out. others is what the registry asks for
// outside the scope.
func (p Policy) limit(asked haproxy.Config, st haproxy.State, others amount) (haproxy.Config, map[string]string) {
	l := limiter{p, st, others, map[string]string{}}
	backends := l.limitDomains(asked.Backends)
	backends = l.limitHosts(backends)
	asked.Backends = l.limitChecks(backends)
	return asked, l.limited
}

// limitDomains leaves out new domains.
func (l limiter) limitDomains(backends []haproxy.Backend) []haproxy.Backend {
	most := cmp.Or(l.policy.MaxDomains, defaultMaxDomains)
	room := most - l.others.domains
	if len(backends) <= room {
		return backends
	}
	isNew := func(b haproxy.Backend) bool {
		_, written := haproxy.FindBackend(l.st.File.Backends, b.Name)
		_, runs := haproxy.FindBackend(l.st.Live.Backends, b.Name)
		return !written && !runs
	}
	for _, b := range backends {
		if !isNew(b) {
			room--
		}
	}
	why := fmt.Sprintf("left out: hapsync takes %d domains at most, and has them; delete domains that are not needed, or raise --max-domains", most)
	return slices.DeleteFunc(slices.Clone(backends), func(b haproxy.Backend) bool {
		if !isNew(b) {
			return false
		}
		if room--; room >= 0 {
			return false
		}
		l.leaveOut(b.Name, why)
		return true
	})
}

// limitHosts leaves out new hosts of domains that have too many.
func (l limiter) limitHosts(backends []haproxy.Backend) []haproxy.Backend {
	most := cmp.Or(l.policy.MaxHosts, defaultMaxHosts)
	backends = slices.Clone(backends)
	for i, b := range backends {
		if len(b.Servers) <= most {
			continue
		}
		isNew := func(s haproxy.Server) int {
			if found, _ := l.had(b.Name, s.Name); found {
				return 0
			}
			return 1
		}
		room := most - (len(b.Servers) - sumOf(b, isNew))
		backends[i] = l.trim(b, isNew, room, fmt.Sprintf("hapsync takes %d hosts of a domain at most; deregister some, or raise --max-hosts", most))
	}
	return backends
}

// limitChecks leaves out new servers and checks that HAProxy has no descriptors for, because HAProxy would not start again with them.
// Domains that need few descriptors come first.
func (l limiter) limitChecks(backends []haproxy.Backend) []haproxy.Backend {
	room, known := l.st.Descriptors.Room()
	room -= l.others.descriptors + (haproxy.Config{Backends: backends}).Descriptors()
	if !known || room >= 0 {
		return backends
	}
	order, cost := make([]int, len(backends)), make([]int, len(backends))
	for i, b := range backends {
		order[i], cost[i] = i, sumOf(b, l.newDescriptors(b))
		room += cost[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(cost[a], cost[b]) })
	why := fmt.Sprintf("HAProxy may have %d descriptors, and does not start if it may come to need more, "+
		"some for the checks of each server among them; raise LimitNOFILE of its unit (or ulimit-n, fd-hard-limit), "+
		"lower its maxconn, or put \"off\" into the domain's check key", l.st.Descriptors.Limit)
	for _, i := range order {
		if b := backends[i]; cost[i] > room {
			backends[i] = l.trim(b, l.newDescriptors(b), room, why)
		}
		room = max(0, room-cost[i])
	}
	return slices.DeleteFunc(backends, func(b haproxy.Backend) bool { return len(b.Servers) == 0 })
}

// newDescriptors returns how many descriptors a server of the backend needs that HAProxy does not need yet.
func (l limiter) newDescriptors(b haproxy.Backend) func(haproxy.Server) int {
	return func(s haproxy.Server) int {
		switch found, checked := l.had(b.Name, s.Name); {
		case !found:
			return b.DescriptorsOf(s)
		case s.Check && !checked:
			return 1
		}
		return 0
	}
}

// trim keeps the servers of a backend until their total cost exceeds room, and leaves out all later ones that cost something. A server
// that HAProxy has without a check then stays without one.
func (l limiter) trim(b haproxy.Backend, cost func(haproxy.Server) int, room int, why string) haproxy.Backend {
	var kept []haproxy.Server
	var left []string
	for _, s := range b.Servers {
		if n := cost(s); n > 0 {
			if room -= n; room < 0 {
				left = append(left, s.Name)
				if found, _ := l.had(b.Name, s.Name); !found {
					continue
				}
				s.Check = false
			}
		}
		kept = append(kept, s)
	}
	if b.Servers = kept; len(left) > 0 {
		l.leaveOut(b.Name, fmt.Sprintf("%s left out (%s): %s", registry.Count(len(left), "host"), nameSome(left), why))
	}
	return b
}

func (l limiter) leaveOut(backend, why string) {
	domain, _ := haproxy.DomainOf(backend)
	l.limited[domain] = why
}

// had reports whether HAProxy has a server, in the file or in the process, and whether it checks it there.
func (l limiter) had(backend, server string) (found, checked bool) {
	key := haproxy.ServerKey{Backend: backend, Name: server}
	file, written := findServer(l.st.File, key)
	live, runs := findServer(l.st.Live, key)
	return written || runs, file.Check || live.Check
}

func sumOf(b haproxy.Backend, of func(haproxy.Server) int) int {
	n := 0
	for _, s := range b.Servers {
		n += of(s)
	}
	return n
}

// limitProblem says that something of a domain is left out.
func limitProblem(prefix, domain, why string) registry.Problem {
	return registry.Problem{Key: prefix + "/" + domain, Domain: domain, Reason: why}
}
