package sync

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A Layout says which frontends carry the rules.
type Layout struct {
	// Frontends are those that get an ACL and a use_backend rule for each domain.
	Frontends []string
	// Cookie is that of domains that have no key for it, as the key has it; empty for haproxy.StickyCookie.
	Cookie string
	// HostMatch says which Host headers rules take.
	HostMatch HostMatch
	// Routing says how requests find a domain's backend.
	Routing Routing
}

// A Routing is the way from a frontend to the backend of a domain.
type Routing string

// The ways. The zero value is RoutingACL.
const (
	// RoutingACL is a use_backend rule for each domain: HAProxy tries one after the other.
	RoutingACL Routing = "acl"
	// RoutingMap is one rule for all domains, which looks the Host up in the map file. Wildcards have rules.
	RoutingMap Routing = "map"
)

// A HostMatch says which Host headers a rule takes.
type HostMatch string

// What rules take. The zero value is MatchAuto.
const (
	// MatchAuto leaves each rule as the file has it; a new one is like those of its frontend, and MatchAnyPort in a new file.
	MatchAuto HostMatch = "auto"
	// MatchExact takes the domain without a port alone.
	MatchExact HostMatch = "exact"
	// MatchAnyPort takes the domain with any port, or none.
	MatchAnyPort HostMatch = "any-port"
)

// exact are the frontends whose rule for a domain takes it without a port alone.
func (l Layout) exact(domain string, st haproxy.State) []string {
	switch l.HostMatch {
	case MatchExact:
		return l.Frontends
	case MatchAnyPort:
		return nil
	}
	var exact []string
	for _, f := range l.Frontends {
		if l.Routing == RoutingMap { // one rule for all: no request is to be lost by it
			if st.Exact[f] && !st.AnyPort[f] {
				exact = append(exact, f)
			}
			continue
		}
		i, there := slices.BinarySearchFunc(st.File.Rules, haproxy.Rule{Frontend: f, Domain: domain}, byRule)
		there = there && !st.File.Rules[i].Closed
		if there && !st.File.Rules[i].AnyPort || !there && st.Exact[f] {
			exact = append(exact, f)
		}
	}
	return exact
}

// Desired is the configuration that HAProxy should have, and the hosts whose address is HAProxy's own. Domains that HAProxy's
// configuration has something else for are left alone. What the registry has in a bad state stays as the file has it:
// a host or an option that was good keeps its last good value.
func (l Layout) Desired(snapshot registry.Snapshot, st haproxy.State) (haproxy.Config, []registry.Problem) {
	var want haproxy.Config
	var problems []registry.Problem
	bad := badNamesOf(snapshot)
	for _, d := range bad.with(snapshot.Domains) {
		if _, taken := st.Foreign[d.Name]; taken {
			continue
		}
		d, bound := holdOwnAddresses(d, snapshot.Prefix, st.Binds)
		problems = append(problems, bound...)
		file, _ := backendOf(st.File, d.Name)
		live, _ := backendOf(st.Live, d.Name)
		d, unclear := holdUnclear(d, file, live, st.NotOurs)
		problems = append(problems, unclear...)
		if file.Name == "" {
			file.Given, file.Own = st.Given, st.Own
		}
		b := l.desiredBackend(d, file, live)
		if st.Unclaimed {
			b.Typed = untold(d, file)
		}
		b.Servers = slices.DeleteFunc(b.Servers, func(s haproxy.Server) bool {
			_, other := st.NotOurs[haproxy.ServerKey{Backend: b.Name, Name: s.Name}]
			return other
		})
		if len(b.Servers) > 0 {
			b.Exact = l.exact(d.Name, st)
			var named []registry.Problem
			b.Options.Lines, named = linesOf(d, snapshot.Prefix, file)
			problems = append(problems, named...)
			want.Backends = append(want.Backends, b)
		}
	}
	slices.SortFunc(want.Backends, byBackend)
	want.Backends = append(want.Backends, bad.keep(want, st.File)...)
	want.Backends = append(want.Backends, keptBackends(want, st)...)
	for i, b := range want.Backends {
		want.Backends[i].ByMap = nil
		if l.Routing == RoutingMap {
			domain, _ := haproxy.DomainOf(b.Name)
			want.Backends[i].ByMap, want.Backends[i].Exact = l.Frontends, l.exact(domain, st)
		}
	}
	return l.withRules(want), problems
}

// untold are the words that operators have typed behind servers of a backend, if all that keys say is there because of the keys.
func untold(d registry.Domain, file haproxy.Backend) map[string]haproxy.Given {
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

// badNames are domains and hosts of the registry whose names cannot be used. What HAProxy's file has under these names, as where
// another tool wrote it, stays as it is.
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

// with are domains with their hosts of bad names, which are held like those of bad values.
func (bad badNames) with(domains []registry.Domain) []registry.Domain {
	if len(bad.hosts) == 0 {
		return domains
	}
	all := make([]registry.Domain, 0, len(domains)+len(bad.hosts))
	known := map[string]bool{}
	for _, d := range domains {
		known[d.Name] = true
		d.HeldHosts = slices.Concat(d.HeldHosts, bad.hosts[d.Name])
		all = append(all, d)
	}
	for name, hosts := range bad.hosts {
		if !known[name] {
			all = append(all, registry.Domain{Name: name, Held: true, HeldHosts: hosts})
		}
	}
	return all
}

// keep are the backends that the file has for domains of bad names. want is sorted.
func (bad badNames) keep(want, file haproxy.Config) []haproxy.Backend {
	var kept []haproxy.Backend
	for _, name := range bad.domains {
		_, wanted := backendOf(want, name)
		if b, written := backendOf(file, name); written && !wanted {
			kept = append(kept, b)
		}
	}
	return kept
}

// keptBackends are those that the file has servers in that are not hapsync's: they stay when there is no host of ours.
func keptBackends(want haproxy.Config, st haproxy.State) []haproxy.Backend {
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

// LeftAloneHosts are the hosts that HAProxy has another server for, under their names, sorted.
func LeftAloneHosts(snapshot registry.Snapshot, others map[haproxy.ServerKey]haproxy.Other) []registry.Problem {
	var left []registry.Problem
	for key, other := range others {
		name, _ := haproxy.DomainOf(key.Backend)
		d, there := domainOf(snapshot, name)
		if !there || !slices.ContainsFunc(d.Hosts, func(h registry.Host) bool { return h.Name == key.Name }) {
			continue
		}
		left = append(left, registry.Problem{
			Key:    snapshot.Prefix + "/" + name + "/" + key.Name,
			Reason: "left alone: HAProxy has " + other.Place + ", which is not hapsync's; rename that, or the host",
			Domain: name, Host: key.Name,
		})
	}
	slices.SortFunc(left, func(a, b registry.Problem) int { return cmp.Compare(a.Key, b.Key) })
	return left
}

// LeftAlone are the domains that HAProxy's configuration has something else for, under their names, sorted.
func LeftAlone(snapshot registry.Snapshot, foreign map[string]string) []registry.Problem {
	var left []registry.Problem
	for _, name := range slices.Sorted(maps.Keys(foreign)) {
		if d, there := domainOf(snapshot, name); there && !d.Ignored() {
			left = append(left, registry.Problem{
				Key:    snapshot.Prefix + "/" + name,
				Reason: "left alone: HAProxy has " + foreign[name] + ", which is not hapsync's; rename that, or the domain",
				Domain: name,
			})
		}
	}
	return left
}

// withRules sorts the backends and gives each its rules.
func (l Layout) withRules(want haproxy.Config) haproxy.Config {
	slices.SortFunc(want.Backends, byBackend)
	want.Rules = nil
	for _, f := range l.Frontends {
		for _, b := range want.Backends {
			domain, _ := haproxy.DomainOf(b.Name)
			want.Rules = append(want.Rules, haproxy.Rule{Frontend: f, Domain: domain,
				AnyPort: !b.Closed && !slices.Contains(b.Exact, f), ByMap: slices.Contains(b.ByMap, f), Closed: b.Closed})
		}
	}
	slices.SortFunc(want.Rules, byRule)
	return want
}

func (l Layout) desiredBackend(d registry.Domain, file, live haproxy.Backend) haproxy.Backend {
	b := haproxy.Backend{Name: haproxy.BackendName(d.Name), Options: l.desiredOptions(d, file), Given: file.Given, Own: file.Own, Typed: file.Typed}
	checked, shared := d.Options.Check != "off", file.SharedWords()
	if d.Held && len(file.Servers) > 0 {
		checked = slices.ContainsFunc(file.Servers, func(s haproxy.Server) bool { return s.Check })
	}
	b.Servers = make([]haproxy.Server, 0, len(d.Hosts)+len(d.HeldHosts))
	for _, h := range d.Hosts {
		b.Servers = append(b.Servers, desiredServer(h, checked, file, shared))
	}
	for _, name := range d.HeldHosts {
		if s, ok := lastGood(name, checked, file, live); ok {
			b.Servers = append(b.Servers, s)
		}
	}
	for i := range b.Servers {
		b.Servers[i].Cookie = ""
		if b.Options.Cookie != "" {
			b.Servers[i].Cookie = b.Servers[i].Name
		}
		b.Servers[i].Check = b.Servers[i].Check && !b.Tracks(b.Servers[i])
	}
	slices.SortFunc(b.Servers, byServer)
	return b
}

// holdUnclear takes those of a domain's unclear keys for hosts with a bad value that HAProxy has a server of ours for.
func holdUnclear(d registry.Domain, file, live haproxy.Backend, others map[haproxy.ServerKey]haproxy.Other) (registry.Domain, []registry.Problem) {
	if len(d.Unclear) == 0 {
		return d, nil
	}
	var lost []registry.Problem
	d.HeldHosts = slices.Clone(d.HeldHosts)
	for _, p := range d.Unclear {
		_, written := haproxy.FindServer(file, p.Host)
		_, runs := haproxy.FindServer(live, p.Host)
		if _, other := others[haproxy.ServerKey{Backend: haproxy.BackendName(d.Name), Name: p.Host}]; !other && (written || runs) {
			d.HeldHosts = append(d.HeldHosts, p.Host)
			lost = append(lost, p)
		}
	}
	slices.Sort(d.HeldHosts)
	return d, lost
}

// lastGood is the server of a host that has turned bad, as it was: what can change live as the process has it, because
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

// Plain are the options of a new domain that has no keys for them.
func (l Layout) Plain() haproxy.BackendOptions {
	return l.desiredOptions(registry.Domain{}, haproxy.Backend{})
}

func (l Layout) desiredOptions(d registry.Domain, file haproxy.Backend) haproxy.BackendOptions {
	options := haproxy.BackendOptions{
		Balance: cmp.Or(d.Options.Balance, "roundrobin"),
		Cookie:  l.cookieOf(d, file),
		Names:   d.Options.Aliases,
	}
	check := registry.CheckOf(d.Options.Check)
	if check.Path != "" {
		options.Check = check.Path
		if check.Host != d.Name {
			options.CheckHost = check.Host
		}
	}
	if check.Path != "" && slices.Contains(file.Own, haproxy.OwnHTTPCheck) || d.Held && file.Name != "" {
		options.Check, options.CheckHost = file.Options.Check, file.Options.CheckHost
	}
	if d.Held && file.Name != "" {
		options.Balance, options.Names = file.Options.Balance, file.Options.Names
	}
	return options
}

// desiredServer takes drain as weight 0: the same to HAProxy, and what a file can say. A new one gets the words that the others share.
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
