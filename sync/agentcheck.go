package sync

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// withAgentValues returns what is wanted of the process, with agent-checks considered: they set weight, maxconn and state of their
// servers, so these stay as the process has them. But a value that is new in the registry, so that the file does not have it yet, is
// wanted. The registry's drain and maint are always wanted. Drain is then a state and not weight 0, because the agent's next weight
// would end weight 0.
func withAgentValues(process, asked haproxy.Config, st haproxy.State) haproxy.Config {
	if len(st.Agents) == 0 {
		return process
	}
	out := process
	out.Backends = slices.Clone(process.Backends)
	for key := range st.Agents {
		b, _ := haproxy.FindBackend(asked.Backends, key.Backend)
		want, wanted := haproxy.FindServer(b, key.Name)
		live, runs := findServer(st.Live, key)
		s := ownServer(out, key)
		if !wanted || !runs || s == nil {
			continue
		}
		file, written := findServer(st.File, key)
		if !written {
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
		case want.Weight == 0 && b.GivenTo(key.Name).ServerWeight() != 0:
			s.State = haproxy.Drain
		case file.State != want.State || file.Weight != want.Weight:
			s.Weight, s.State = want.Weight, haproxy.Ready
		}
	}
	return out
}

// weightReloads returns the changes of agent-checked servers that need a reload, sorted by server: HAProxy has loaded the server with
// weight 0, the file's word for drain, and every percentage of 0 is 0. A server in maintenance is not among them until that ends.
func weightReloads(want haproxy.Config, st haproxy.State) []haproxy.Change {
	var changes []haproxy.Change
	for key, loaded := range st.Agents {
		s, wanted := findServer(want, key)
		if wanted && loaded == 0 && s.Weight > 0 && s.State == haproxy.Ready {
			have := s
			have.Weight = 0
			changes = append(changes, haproxy.SetServer{Backend: key.Backend, Have: have, Want: s})
		}
	}
	slices.SortFunc(changes, func(a, b haproxy.Change) int { return cmp.Compare(a.Key().String(), b.Key().String()) })
	return changes
}

// agentChecked returns the servers that an agent-check gave another weight, state or maxconn than the registry, sorted.
func agentChecked(asked haproxy.Config, st haproxy.State) []Override {
	var list []Override
	for key := range st.Agents {
		want, wanted := findServer(asked, key)
		live, runs := findServer(st.Live, key)
		stopped := want.State == haproxy.Maint || want.Weight == 0 // by the registry
		same := live.Weight == want.Weight && live.State == want.State && live.MaxConn == want.MaxConn
		if wanted && runs && !stopped && !same {
			list = append(list, Override{Domain: key.Domain(), Host: key.Name, Live: describeServer(live), Registry: describeServer(want)})
		}
	}
	slices.SortFunc(list, byOverride)
	return list
}

func describeServer(s haproxy.Server) string {
	words := fmt.Sprintf("%s, weight %d", s.State, s.Weight)
	if s.MaxConn > 0 {
		words += fmt.Sprintf(", maxconn %d", s.MaxConn)
	}
	return words
}
