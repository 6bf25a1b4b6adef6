package sync

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// withAgentValues is what is wanted of the process if HAProxy's agent-checks have their say: weight, maxconn and state of their servers are
// as the process has them. What is new in the registry is wanted: what the file does not say yet. The registry's drain and
// maint hold in any case; the drain is a state then, because an agent's next weight would end one by weight 0.
func withAgentValues(process, asked haproxy.Config, st haproxy.State) haproxy.Config {
	if len(st.Agents) == 0 {
		return process
	}
	out := process
	out.Backends = slices.Clone(process.Backends)
	for key := range st.Agents {
		asks, _ := haproxy.FindBackend(asked.Backends, key.Backend)
		want, wanted := haproxy.FindServer(asks, key.Name)
		running, _ := haproxy.FindBackend(st.Live.Backends, key.Backend)
		live, runs := haproxy.FindServer(running, key.Name)
		s := ownServer(out, key)
		if !wanted || !runs || s == nil {
			continue
		}
		written, _ := haproxy.FindBackend(st.File.Backends, key.Backend)
		file, there := haproxy.FindServer(written, key.Name)
		if !there {
			file = want
		}
		*s = want
		s.Weight, s.MaxConn, s.State = live.Weight, live.MaxConn, live.State
		if file.MaxConn != want.MaxConn {
			s.MaxConn = want.MaxConn
		}
		switch {
		case want.State == haproxy.Maint:
			s.State = haproxy.Maint
		case want.Weight == 0 && asks.GivenTo(key.Name).ServerWeight() != 0:
			s.State = haproxy.Drain
		case file.State != want.State || file.Weight != want.Weight:
			s.Weight, s.State = want.Weight, haproxy.Ready
		}
	}
	return out
}

// weightReloads are the changes that only a reload makes of servers with an agent-check: HAProxy has loaded them with weight 0, as the file
// says of a drained one, and any percentage of that is 0. A server in maintenance waits for the end of that.
func weightReloads(want haproxy.Config, st haproxy.State) []haproxy.Change {
	var changes []haproxy.Change
	for key, loaded := range st.Agents {
		s, wanted := haproxy.FindServer(haproxy.Backend{Servers: serversOf(want, key.Backend)}, key.Name)
		if wanted && loaded == 0 && s.Weight > 0 && s.State == haproxy.Ready {
			have := s
			have.Weight = 0
			changes = append(changes, haproxy.SetServer{Backend: key.Backend, Have: have, Want: s})
		}
	}
	slices.SortFunc(changes, func(a, b haproxy.Change) int { return cmp.Compare(a.Key().String(), b.Key().String()) })
	return changes
}

// agentChecked are the servers that an agent-check has given another weight or state than the registry and the file do, sorted.
func agentChecked(asked haproxy.Config, st haproxy.State) []Override {
	var list []Override
	for key := range st.Agents {
		want, wanted := haproxy.FindServer(haproxy.Backend{Servers: serversOf(asked, key.Backend)}, key.Name)
		live, runs := haproxy.FindServer(haproxy.Backend{Servers: serversOf(st.Live, key.Backend)}, key.Name)
		asked := want.State == haproxy.Maint || want.Weight == 0 // by the registry
		if !wanted || !runs || asked || live.Weight == want.Weight && live.State == want.State && live.MaxConn == want.MaxConn {
			continue
		}
		domain, _ := haproxy.DomainOf(key.Backend)
		list = append(list, Override{Domain: domain, Host: key.Name, Live: describeServer(live), Registry: describeServer(want)})
	}
	slices.SortFunc(list, func(a, b Override) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Host, b.Host))
	})
	return list
}

// describeServer is the state of a server in words.
func describeServer(s haproxy.Server) string {
	words := fmt.Sprintf("%s, weight %d", s.State, s.Weight)
	if s.MaxConn > 0 {
		words += fmt.Sprintf(", maxconn %d", s.MaxConn)
	}
	return words
}
