package sync

import (
	"cmp"
	"maps"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// LeftAlone returns a problem for each domain if HAProxy's configuration has something else under its name; sorted by domain.
func LeftAlone(snapshot registry.Snapshot, foreign map[string]string) []registry.Problem {
	var left []registry.Problem
	for _, name := range slices.Sorted(maps.Keys(foreign)) {
		if d, found := domainOf(snapshot, name); found && !d.Ignored() {
			left = append(left, registry.Problem{
				Key:    snapshot.Prefix + "/" + name,
				Reason: "left alone: HAProxy has " + foreign[name] + ", which is not hapsync's; correct or rename that, or rename the domain",
				Domain: name,
			})
		}
	}
	return left
}

// LeftAloneHosts returns a problem for each host if HAProxy has a server of that name that is not hapsync's; sorted by key.
func LeftAloneHosts(snapshot registry.Snapshot, others map[haproxy.ServerKey]haproxy.Other) []registry.Problem {
	var left []registry.Problem
	for key, other := range others {
		name := key.Domain()
		d, _ := domainOf(snapshot, name)
		if !hasHost(d, key.Name) {
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

// leaveAlone returns the state without what the process has of domains and hosts that are left alone, so that no change of the process
// follows from them. What the registry no longer has is removed nevertheless.
func leaveAlone(st haproxy.State, snapshot registry.Snapshot) haproxy.State {
	if len(st.Foreign)+len(st.NotOurs) == 0 {
		return st
	}
	alone := func(domain string) bool {
		_, registered := domainOf(snapshot, domain)
		return registered && has(st.Foreign, domain)
	}
	backends := make([]haproxy.Backend, 0, len(st.Live.Backends))
	for _, b := range st.Live.Backends {
		domain, _ := haproxy.DomainOf(b.Name)
		if alone(domain) {
			continue
		}
		d, _ := domainOf(snapshot, domain)
		others := func(s haproxy.Server) bool {
			return has(st.NotOurs, haproxy.ServerKey{Backend: b.Name, Name: s.Name}) && hasHost(d, s.Name)
		}
		if slices.ContainsFunc(b.Servers, others) {
			b.Servers = slices.DeleteFunc(slices.Clone(b.Servers), others)
		}
		backends = append(backends, b)
	}
	st.Live.Backends = backends
	st.Live.Rules = slices.DeleteFunc(slices.Clone(st.Live.Rules), func(r haproxy.Rule) bool { return alone(r.Domain) })
	return st
}

func hasHost(d registry.Domain, name string) bool {
	return slices.Contains(d.HeldHosts, name) || slices.ContainsFunc(d.Hosts, func(h registry.Host) bool { return h.Name == name })
}
