package sync

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// overrides are the weights and states that an operator set on HAProxy's socket. An override ends when the registry says something new
// about the host, or when the operator takes it back.
type overrides map[haproxy.ServerKey]override

type override struct {
	Weight int
	State  haproxy.ServerState
	// Want is the server as the registry had it then. A different one is something new.
	Want haproxy.Server
}

// An Override is what an operator set on HAProxy's socket. The agent leaves it as it is.
type Override struct {
	// Domain and Host name the server.
	Domain, Host string
	// Live is what HAProxy has, such as "maint" or "weight 5". Registry is what the registry says instead.
	Live, Registry string
}

// observe finds overrides: servers that are not as hapsync left them in the process. basis is what was wanted of the process before.
// If want differs from it, the registry says something new about the server. What an agent-check set is no override.
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
			if i, found := slices.BinarySearchFunc(runs, *is, byServer); found {
				o.observeServer(key, *is, runs[i])
			}
		})
	}
}

func (o overrides) observeServer(key haproxy.ServerKey, want, live haproxy.Server) {
	if live.Weight == want.Weight && live.State == want.State {
		delete(o, key)
		return
	}
	o[key] = override{live.Weight, live.State, want}
}

// forget drops the overrides of hosts that the registry says something new about.
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

// prune drops the overrides of hosts in the scope that are no longer wanted.
func (o overrides) prune(want haproxy.Config, scope haproxy.Scope) {
	maps.DeleteFunc(o, func(key haproxy.ServerKey, _ override) bool {
		if !scope.Has(key.Domain()) {
			return false
		}
		_, wanted := findServer(want, key)
		return !wanted
	})
}

// apply returns what is wanted of the process if want is wanted of the file.
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

// ownServer returns a server that the caller may change; nil if there is none. The slice c.Backends must be the caller's own. The
// servers of the backend are copied.
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

// list returns the overrides as they are shown, sorted.
func (o overrides) list() []Override {
	list := make([]Override, 0, len(o))
	for key, set := range o {
		show := Override{Domain: key.Domain(), Host: key.Name, Live: string(set.State), Registry: string(set.Want.State)}
		if set.State == set.Want.State {
			show.Live, show.Registry = fmt.Sprintf("weight %d", set.Weight), fmt.Sprintf("weight %d", set.Want.Weight)
		}
		list = append(list, show)
	}
	slices.SortFunc(list, byOverride)
	return list
}

func byOverride(a, b Override) int {
	return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Host, b.Host))
}
