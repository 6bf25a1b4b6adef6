package driver

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// liveConfig is the managed part of what the process runs, and the servers in its backends that are not hapsync's. The servers come from
// the process. What the process does not show (rules, paths of checks, other parameters) comes from the loaded file. A server is
// hapsync's if that file or the record has it. Its looks do not count, because the process has more than the managed file.
func liveConfig(
	backends []runtimeapi.Backend, loaded configfile.Managed, added map[haproxy.ServerKey]string,
) (live haproxy.Config, others map[haproxy.ServerKey]bool) {
	running := map[string]bool{}
	others = map[haproxy.ServerKey]bool{}
	for _, b := range backends {
		known, ok := haproxy.FindBackend(loaded.Config.Backends, b.Name)
		if !ok {
			continue
		}
		own := make([]runtimeapi.Server, 0, len(b.Servers))
		for _, s := range b.Servers {
			key := haproxy.ServerKey{Backend: b.Name, Name: s.Name}
			_, recorded := added[key]
			if _, ok := haproxy.FindServer(known, s.Name); ok || recorded {
				own = append(own, s)
			} else {
				others[key] = true
			}
		}
		b.Servers = own
		live.Backends = append(live.Backends, fill(b, known, added))
		running[b.Name] = true
	}
	for _, r := range loaded.Config.Rules {
		if running[r.Backend()] {
			live.Rules = append(live.Rules, r)
		}
	}
	return live, others
}

// fill completes a backend of the process from the loaded file, and from the Params with which servers were added.
func fill(b runtimeapi.Backend, loaded haproxy.Backend, added map[haproxy.ServerKey]string) haproxy.Backend {
	out := haproxy.Backend{Name: b.Name, Options: loaded.Options, Exact: loaded.Exact, ByMap: loaded.ByMap, Closed: loaded.Closed}
	out.Options.Balance = cmp.Or(loaded.Options.Balance, "roundrobin")
	if !hasBalance(b, loaded) {
		out.Options.Balance = cmp.Or(b.Balance, "roundrobin")
	}
	if name, _, _ := strings.Cut(loaded.Options.Cookie, " "); name != b.Cookie {
		out.Options.Cookie = b.Cookie
	}
	for _, s := range b.Servers {
		server := s.Server
		server.Check = server.Check && !s.Unchecked // a check that is off checks nothing
		server.Params = added[haproxy.ServerKey{Backend: b.Name, Name: s.Name}]
		if i := slices.IndexFunc(loaded.Servers, func(l haproxy.Server) bool { return l.Name == s.Name }); i >= 0 {
			server.Params = loaded.Servers[i].Params
		}
		out.Servers = append(out.Servers, server)
	}
	return out
}
