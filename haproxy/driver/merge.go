package driver

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// liveConfig is the managed part of what the process runs. Servers, and whether a backend is there, come from the
// process; what it does not tell (rules, paths of checks, further parameters) from the file as it was loaded.
func liveConfig(backends []runtimeapi.Backend, loaded configfile.Managed, f configfile.Reading) haproxy.Config {
	var live haproxy.Config
	running := map[string]bool{}
	for _, b := range backends {
		if known, ok := haproxy.FindBackend(loaded.Config.Backends, b.Name); ok {
			live.Backends = append(live.Backends, fill(b, known))
			running[b.Name] = true
		} else if left, ok := leftover(b, f); ok {
			live.Backends = append(live.Backends, left)
		}
	}
	for _, r := range loaded.Config.Rules {
		if running[r.Backend()] {
			live.Rules = append(live.Rules, r)
		}
	}
	return live
}

// fill completes what the process says of a backend from what it has loaded.
func fill(b runtimeapi.Backend, loaded haproxy.Backend) haproxy.Backend {
	out := haproxy.Backend{Name: b.Name, Options: loaded.Options}
	if algorithm, _, _ := strings.Cut(cmp.Or(loaded.Options.Balance, "roundrobin"), " "); !strings.HasPrefix(algorithm, b.Balance) && b.Balance != "unknown" {
		out.Options.Balance = b.Balance
	}
	out.Options.Balance = cmp.Or(out.Options.Balance, "roundrobin")
	if name, _, _ := strings.Cut(loaded.Options.Cookie, " "); name != b.Cookie {
		out.Options.Cookie = b.Cookie
	}
	for _, s := range b.Servers {
		server := s.Server
		server.Check = server.Check && !s.Unchecked
		if i := slices.IndexFunc(loaded.Servers, func(l haproxy.Server) bool { return l.Name == s.Name }); i >= 0 {
			server.Params = loaded.Servers[i].Params
		}
		out.Servers = append(out.Servers, server)
	}
	return out
}

// leftover tells a backend of ours that the process has loaded, but that no file names any more: it has our shape in
// all that can be seen. One without servers answers 503 as an unknown host does, and is gone with the next reload.
func leftover(b runtimeapi.Backend, f configfile.Reading) (haproxy.Backend, bool) {
	domain, ok := haproxy.DomainOf(b.Name)
	if !ok || b.Cookie != "SERVERID" || f.Managed.Foreign[domain] != "" || f.Base.Proxies[b.Name] != "" {
		return haproxy.Backend{}, false
	}
	out := haproxy.Backend{Name: b.Name, Options: haproxy.BackendOptions{Balance: b.Balance, Cookie: haproxy.StickyCookie}}
	for _, s := range b.Servers {
		if s.Cookie != s.Name {
			return haproxy.Backend{}, false
		}
		out.Servers = append(out.Servers, s.Server)
	}
	return out, len(out.Servers) > 0
}
