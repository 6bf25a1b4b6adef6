package sync

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// overrides are the weights and states that someone gave servers on HAProxy's socket. They stay until the registry says
// something new about the host, or they are taken back.
type overrides map[haproxy.ServerKey]override

type override struct {
	Weight int
	State  haproxy.ServerState
	// Want is the server as the registry had it then: another one is something new.
	Want haproxy.Server
}

// An Override is what someone set on HAProxy's socket, and the agent leaves as it is.
type Override struct {
	// Domain and Host name the server.
	Domain, Host string
	// Live is what HAProxy has, such as "maint" or "weight 5"; Registry what the registry says instead.
	Live, Registry string
}

// observe compares what the process has with what it was brought to. basis is what was wanted of it before: where want
// differs from it, the registry says something new. What an agent-check has set is no override.
func (o overrides) observe(basis, want, live haproxy.Config, agents map[haproxy.ServerKey]int) {
	for _, b := range want.Backends {
		runs := serversOf(live, b.Name)
		merge(serversOf(basis, b.Name), b.Servers, byServer, func(was, is *haproxy.Server) {
			if was == nil || is == nil || *was != *is {
				return
			}
			key := haproxy.ServerKey{Backend: b.Name, Name: is.Name}
			if has(agents, key) {
				delete(o, key)
				return
			}
			if i, there := slices.BinarySearchFunc(runs, *is, byServer); there {
				o.take(key, *is, runs[i])
			}
		})
	}
}

// take compares one server with what it was brought to.
func (o overrides) take(key haproxy.ServerKey, want, live haproxy.Server) {
	if live.Weight == want.Weight && live.State == want.State {
		delete(o, key)
		return
	}
	o[key] = override{live.Weight, live.State, want}
}

// forget drops those of hosts of which something else is wanted now.
func (o overrides) forget(want haproxy.Config) {
	if len(o) == 0 {
		return
	}
	for _, b := range want.Backends {
		for _, s := range b.Servers {
			key := haproxy.ServerKey{Backend: b.Name, Name: s.Name}
			if set, ok := o[key]; ok && set.Want != s {
				delete(o, key)
			}
		}
	}
}

// prune drops those of hosts of a scope that are wanted no more.
func (o overrides) prune(want haproxy.Config, scope haproxy.Scope) {
	maps.DeleteFunc(o, func(key haproxy.ServerKey, _ override) bool {
		if !scope.Has(key.Domain()) {
			return false
		}
		servers := serversOf(want, key.Backend)
		_, wanted := slices.BinarySearchFunc(servers, haproxy.Server{Name: key.Name}, byServer)
		return !wanted
	})
}

// apply is what is wanted of the process, where the file gets want.
func (o overrides) apply(want haproxy.Config) haproxy.Config {
	if len(o) == 0 {
		return want
	}
	out := want
	out.Backends = slices.Clone(want.Backends)
	for key, set := range o {
		if s := ownServer(out, key); s != nil {
			s.Weight, s.State = set.Weight, set.State
		}
	}
	return out
}

// ownServer is a server of a configuration whose backends are the caller's, to be changed; nil if there is none. Its backend gets
// servers of its own.
func ownServer(c haproxy.Config, key haproxy.ServerKey) *haproxy.Server {
	b, ok := slices.BinarySearchFunc(c.Backends, haproxy.Backend{Name: key.Backend}, byBackend)
	if !ok {
		return nil
	}
	c.Backends[b].Servers = slices.Clone(c.Backends[b].Servers)
	s, ok := slices.BinarySearchFunc(c.Backends[b].Servers, haproxy.Server{Name: key.Name}, byServer)
	if !ok {
		return nil
	}
	return &c.Backends[b].Servers[s]
}

// list is for people: sorted.
func (o overrides) list() []Override {
	list := make([]Override, 0, len(o))
	for key, set := range o {
		show := Override{Domain: key.Domain(), Host: key.Name, Live: string(set.State), Registry: string(set.Want.State)}
		if set.State == set.Want.State {
			show.Live, show.Registry = fmt.Sprintf("weight %d", set.Weight), fmt.Sprintf("weight %d", set.Want.Weight)
		}
		list = append(list, show)
	}
	slices.SortFunc(list, func(a, b Override) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Host, b.Host))
	})
	return list
}
