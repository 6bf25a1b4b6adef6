package sync

import (
	"maps"
	"slices"
	"strconv"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A Layout says which frontends carry the rules.
type Layout struct {
	// Frontends get an ACL and a use_backend rule for each domain.
	Frontends []string
	// Cookie is the default for domains without the key cookie, in the key's syntax; empty means haproxy.StickyCookie.
	Cookie string
	// HostMatch says which Host headers match a rule.
	HostMatch HostMatch
	// Routing says how a request finds the backend of its domain.
	Routing Routing
}

// A Routing says how a frontend finds the backend of a domain.
type Routing string

// The zero value means RoutingACL.
const (
	// RoutingACL uses one use_backend rule for each domain. HAProxy tries them one after the other.
	RoutingACL Routing = "acl"
	// RoutingMap uses one rule for all domains, which looks up the Host in the map file. Only wildcards have rules of their own.
	RoutingMap Routing = "map"
)

// A HostMatch says which Host headers match a rule.
type HostMatch string

// The zero value means MatchAuto.
const (
	// MatchAuto keeps each rule as it is in the file. A new rule is like the others of its frontend. In a new file it matches any port.
	MatchAuto HostMatch = "auto"
	// MatchExact matches the domain only without a port.
	MatchExact HostMatch = "exact"
	// MatchAnyPort matches the domain with and without a port.
	MatchAnyPort HostMatch = "any-port"
)

// exactFrontends are the frontends whose rule for the domain matches only without a port.
func (l Layout) exactFrontends(domain string, st haproxy.State) []string {
	switch l.HostMatch {
	case MatchExact:
		return l.Frontends
	case MatchAnyPort:
		return nil
	}
	var exact []string
	for _, f := range l.Frontends {
		if l.Routing == RoutingMap { // one rule for all domains: any port if one rule matches it, so that no request is lost
			if st.Exact[f] && !st.AnyPort[f] {
				exact = append(exact, f)
			}
			continue
		}
		isExact := st.Exact[f]
		i, found := slices.BinarySearchFunc(st.File.Rules, haproxy.Rule{Frontend: f, Domain: domain}, byRule)
		if found && !st.File.Rules[i].Closed {
			isExact = !st.File.Rules[i].AnyPort
		}
		if isExact {
			exact = append(exact, f)
		}
	}
	return exact
}

// Desired returns the configuration that HAProxy should have, and a problem for each key that it does not follow: the address is
// HAProxy's own, the key is unclear, or the operator's own line overrules it. It leaves out a domain if HAProxy has something else under
// its name. A host or an option with a bad value in the registry keeps its last good value.
func (l Layout) Desired(snapshot registry.Snapshot, st haproxy.State) (haproxy.Config, []registry.Problem) {
	want := haproxy.Config{Backends: make([]haproxy.Backend, 0, len(snapshot.Domains))}
	var problems []registry.Problem
	bad := badNamesOf(snapshot)
	for _, d := range bad.holdHosts(snapshot.Domains) {
		if has(st.Foreign, d.Name) {
			continue
		}
		b, found := l.desiredBackend(*d, snapshot.Prefix, st)
		problems = append(problems, found...)
		if len(b.Servers) > 0 {
			want.Backends = append(want.Backends, b)
		}
	}
	slices.SortFunc(want.Backends, byBackend)
	want.Backends = append(want.Backends, bad.backends(want, st.File)...)
	want.Backends = append(want.Backends, keptForOthers(want, st)...)
	for i, b := range want.Backends {
		want.Backends[i].ByMap = nil
		if l.Routing == RoutingMap {
			domain, _ := haproxy.DomainOf(b.Name)
			want.Backends[i].ByMap, want.Backends[i].Exact = l.Frontends, l.exactFrontends(domain, st)
		}
	}
	return l.withRules(want), problems
}

// desiredBackend returns the backend that a domain should have. Without servers it is not wanted.
func (l Layout) desiredBackend(d registry.Domain, prefix string, st haproxy.State) (haproxy.Backend, []registry.Problem) {
	d, problems := holdOwnAddresses(d, prefix, st.Binds)
	file, _ := backendOf(st.File, d.Name)
	live, _ := backendOf(st.Live, d.Name)
	d, unclear := holdUnclear(d, file, live, st.NotOurs)
	problems = append(problems, unclear...)
	if file.Name == "" {
		file.Given, file.Own = st.Given, st.Own
	}
	b := haproxy.Backend{
		Name: haproxy.BackendName(d.Name), Options: l.desiredOptions(d, file),
		Given: file.Given, Own: file.Own, Typed: file.Typed,
	}
	b.Servers = desiredServers(d, b, file, live)
	if st.Unclaimed {
		b.Typed = typedWithoutKeys(d, file)
	}
	b.Servers = slices.DeleteFunc(b.Servers, func(s haproxy.Server) bool {
		return has(st.NotOurs, haproxy.ServerKey{Backend: b.Name, Name: s.Name})
	})
	if len(b.Servers) == 0 {
		return b, problems
	}
	b.Exact = l.exactFrontends(d.Name, st)
	var overruled []registry.Problem
	b.Options.Lines, overruled = linesOf(d, prefix, file)
	return b, append(problems, overruled...)
}

// typedWithoutKeys returns what the operator typed for single servers of the backend. It assumes that a value comes from a key,
// and not from the operator, if the host has that key.
func typedWithoutKeys(d registry.Domain, file haproxy.Backend) map[string]haproxy.Given {
	typed := maps.Clone(file.Typed)
	for _, h := range d.Hosts {
		own, ok := typed[h.Name]
		if !ok {
			continue
		}
		if !h.Unset.Weight || h.State == registry.Drain {
			own.Weight, own.Weighted = file.Given.ServerWeight(), true
		}
		if !h.Unset.MaxConn {
			own.MaxConn = file.Given.MaxConn
		}
		if !h.Unset.Backup {
			own.Backup = file.Given.Backup
		}
		if !h.Unset.State {
			own.Disabled = file.Given.Disabled
		}
		typed[h.Name] = own
	}
	return typed
}

// badNames are the domains and hosts in the registry with invalid names. The file may have such names, for example if another tool
// wrote them. They stay in the file as they are.
type badNames struct {
	domains []string
	hosts   map[string][]string // by domain
}

func badNamesOf(snapshot registry.Snapshot) badNames {
	bad := badNames{hosts: map[string][]string{}}
	for _, p := range snapshot.Problems {
		if name, err := strconv.Unquote(p.Domain); err == nil {
			bad.domains = append(bad.domains, name)
		} else if host, err := strconv.Unquote(p.Host); err == nil {
			bad.hosts[p.Domain] = append(bad.hosts[p.Domain], host)
		}
	}
	return bad
}

// holdHosts returns the domains with their badly named hosts among HeldHosts, like hosts with a bad value.
func (bad badNames) holdHosts(domains []*registry.Domain) []*registry.Domain {
	if len(bad.hosts) == 0 {
		return domains
	}
	all := make([]*registry.Domain, 0, len(domains)+len(bad.hosts))
	known := map[string]bool{}
	for _, d := range domains {
		known[d.Name] = true
		held := *d
		held.HeldHosts = slices.Concat(d.HeldHosts, bad.hosts[d.Name])
		all = append(all, &held)
	}
	for name, hosts := range bad.hosts {
		if !known[name] {
			all = append(all, &registry.Domain{Name: name, Held: true, HeldHosts: hosts})
		}
	}
	return all
}

// backends are the backends in the file for domains with bad names. want is sorted.
func (bad badNames) backends(want, file haproxy.Config) []haproxy.Backend {
	var kept []haproxy.Backend
	for _, name := range bad.domains {
		_, wanted := backendOf(want, name)
		if b, written := backendOf(file, name); written && !wanted {
			kept = append(kept, b)
		}
	}
	return kept
}

// keptForOthers are the unwanted backends that stay, without servers of ours, because the file has a server of the operator there.
func keptForOthers(want haproxy.Config, st haproxy.State) []haproxy.Backend {
	written := map[string]bool{}
	for key, other := range st.NotOurs {
		written[key.Backend] = written[key.Backend] || other.Written
	}
	for _, b := range want.Backends {
		delete(written, b.Name)
	}
	var kept []haproxy.Backend
	for _, b := range st.File.Backends {
		if written[b.Name] {
			kept = append(kept, haproxy.Backend{Name: b.Name, Options: b.Options, Exact: b.Exact})
		}
	}
	return kept
}

// withRules sorts the backends and adds the rules of each.
func (l Layout) withRules(want haproxy.Config) haproxy.Config {
	slices.SortFunc(want.Backends, byBackend)
	want.Rules = make([]haproxy.Rule, 0, len(l.Frontends)*len(want.Backends))
	for _, f := range l.Frontends {
		for _, b := range want.Backends {
			domain, _ := haproxy.DomainOf(b.Name)
			want.Rules = append(want.Rules, haproxy.Rule{
				Frontend: f, Domain: domain, Closed: b.Closed,
				AnyPort: !b.Closed && !slices.Contains(b.Exact, f), ByMap: slices.Contains(b.ByMap, f),
			})
		}
	}
	slices.SortFunc(want.Rules, byRule)
	return want
}

// desiredServers returns the sorted servers of a domain's backend b, which has everything but its servers.
func desiredServers(d registry.Domain, b, file, live haproxy.Backend) []haproxy.Server {
	checked, shared := d.Options.Check != "off", file.SharedWords()
	if d.Held && len(file.Servers) > 0 {
		checked = slices.ContainsFunc(file.Servers, func(s haproxy.Server) bool { return s.Check })
	}
	servers := make([]haproxy.Server, 0, len(d.Hosts)+len(d.HeldHosts))
	for _, h := range d.Hosts {
		servers = append(servers, desiredServer(h, checked, file, shared))
	}
	for _, name := range d.HeldHosts {
		if s, ok := lastGood(name, checked, file, live); ok {
			servers = append(servers, s)
		}
	}
	for i := range servers {
		servers[i].Cookie = ""
		if b.Options.Cookie != "" {
			servers[i].Cookie = servers[i].Name
		}
		servers[i].Check = servers[i].Check && !b.Tracks(servers[i])
	}
	slices.SortFunc(servers, byServer)
	return servers
}

// holdUnclear moves hosts with unclear keys to HeldHosts if HAProxy has a server of ours for them. It returns their problems.
func holdUnclear(
	d registry.Domain, file, live haproxy.Backend, others map[haproxy.ServerKey]haproxy.Other,
) (registry.Domain, []registry.Problem) {
	if len(d.Unclear) == 0 {
		return d, nil
	}
	var lost []registry.Problem
	d.HeldHosts = slices.Clone(d.HeldHosts)
	for _, p := range d.Unclear {
		_, written := haproxy.FindServer(file, p.Host)
		_, runs := haproxy.FindServer(live, p.Host)
		ours := !has(others, haproxy.ServerKey{Backend: haproxy.BackendName(d.Name), Name: p.Host})
		if ours && (written || runs) {
			d.HeldHosts = append(d.HeldHosts, p.Host)
			lost = append(lost, p)
		}
	}
	slices.Sort(d.HeldHosts)
	return d, lost
}

// lastGood returns the server of a host before the host's keys turned bad. What can change live comes from the process, because
// the file may lag behind.
func lastGood(name string, checked bool, file, live haproxy.Backend) (haproxy.Server, bool) {
	s, written := haproxy.FindServer(file, name)
	l, runs := haproxy.FindServer(live, name)
	switch {
	case !written:
		s = l
		s.Check = checked
	case runs && l.Addr.IsValid():
		s.Addr, s.Weight, s.MaxConn, s.State = l.Addr, l.Weight, l.MaxConn, l.State
	}
	if s.State == haproxy.Drain {
		s.State, s.Weight = haproxy.Ready, 0
	}
	return s, s.Addr.IsValid()
}

// desiredServer returns the server of a host. Drain becomes weight 0: HAProxy treats both the same, and a file has no word for drain.
// A new server gets the parameters that all others of the backend share.
func desiredServer(h registry.Host, checked bool, file haproxy.Backend, shared string) haproxy.Server {
	s := haproxy.Server{
		Name: h.Name, Addr: h.Addr, Check: checked,
		Weight: h.Weight, MaxConn: h.MaxConn, Backup: h.Backup, State: haproxy.Ready, Params: shared,
	}
	given := file.GivenTo(h.Name)
	if h.Unset.Weight {
		s.Weight = given.ServerWeight()
	}
	if h.Unset.MaxConn {
		s.MaxConn = given.MaxConn
	}
	if h.Unset.Backup {
		s.Backup = given.Backup
	}
	if h.Unset.State && given.Disabled {
		s.State = haproxy.Maint
	}
	switch h.State {
	case registry.Drain:
		s.Weight = 0
	case registry.Maint:
		s.State = haproxy.Maint
	}
	if old, ok := haproxy.FindServer(file, h.Name); ok && old.Addr.IsValid() {
		s.Params = old.Params
	}
	return s
}
