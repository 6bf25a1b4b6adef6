package sync

import (
	"fmt"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// lostParams returns a warning for each change of the file that loses parameters which the operator wrote behind servers, or that adds
// a server without them.
func lostParams(have haproxy.Config, edits []haproxy.Change) []string {
	const remedy = "write what all servers are to have into a default-server line"
	common := commonParams(have)
	var lost []string
	for _, c := range edits {
		switch ch := c.(type) {
		case haproxy.RemoveBackend:
			b, _ := haproxy.FindBackend(have.Backends, ch.Name)
			if words := b.SharedWords(); words != "" {
				lost = append(lost, fmt.Sprintf("%q goes with the last server of backend %s: a host that comes later has none of it; %s of the defaults",
					words, ch.Name, remedy))
			}
		case haproxy.AddBackend:
			if common != "" {
				lost = append(lost, fmt.Sprintf("backend %s gets no %q, which stands behind the servers of all others; %s of the defaults",
					ch.Name, common, remedy))
			}
		case haproxy.AddServer:
			b, _ := haproxy.FindBackend(have.Backends, ch.Backend)
			if ch.Server.Params == "" && slices.ContainsFunc(b.Servers, hasParams) {
				lost = append(lost, fmt.Sprintf("server %s gets none of the words behind the others of its backend, which are not the same for each; %s",
					ch.Key(), remedy))
			}
		}
	}
	return lost
}

// hasParams reports whether a server has parameters that other servers may have, too.
func hasParams(s haproxy.Server) bool { return haproxy.WithoutID(s.Params) != "" }

// commonParams returns the parameters that all servers of all backends share; empty if one server differs.
func commonParams(c haproxy.Config) string {
	common := ""
	for i, b := range c.Backends {
		words := b.SharedWords()
		if i > 0 && words != common {
			return ""
		}
		common = words
	}
	return common
}
