package sync

import (
	"fmt"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A Receipt is what the agents are to say about a write to a host.
type Receipt struct {
	// Revision is that of the write.
	Revision registry.Revision
	// Domain and Host name the host that it is about.
	Domain, Host string
	// Finished asks, too, that no session is left on the host's server.
	Finished bool

	known map[string]bool
}

// Missing says, a line for each agent, what is not as it is to be; no line means that all is. Agents that an earlier call
// was told of and that are gone are missing: their HAProxy may go on without the write.
func (r *Receipt) Missing(agents []registry.AgentReport) []string {
	if r.known == nil {
		r.known = map[string]bool{}
	}
	gone := make(map[string]bool, len(r.known))
	for name := range r.known {
		gone[name] = true
	}
	var missing []string
	for _, a := range agents {
		r.known[a.Name] = true
		delete(gone, a.Name)
		if why := r.lacks(a); why != "" {
			missing = append(missing, a.Name+": "+why)
		}
	}
	for name := range gone {
		missing = append(missing, name+": it was there and is gone, without a word about the write")
	}
	slices.Sort(missing)
	return missing
}

// lacks says what one agent has not done; empty where it has done all.
func (r *Receipt) lacks(a registry.AgentReport) string {
	switch {
	case a.Applied >= r.Revision:
	case a.Held != "":
		return "it holds its changes back: " + a.Held
	case a.Reason != "":
		return "it is not ready: " + a.Reason
	case a.Applied == 0:
		return "it has applied nothing yet"
	default:
		return fmt.Sprintf("it has applied revision %d, the write is %d", a.Applied, r.Revision)
	}
	if slices.Contains(a.LeftOut, r.Domain) || slices.Contains(a.LeftOut, r.Domain+"/"+r.Host) {
		return "it leaves the host out, hapsync status there says why"
	}
	if !r.Finished {
		return ""
	}
	at := slices.IndexFunc(a.Leaving, func(l registry.Leaving) bool { return l.Domain == r.Domain && l.Host == r.Host })
	switch {
	case at >= 0:
		return fmt.Sprintf("%s left on server %s/%s", count(a.Leaving[at].Sessions, "session"), haproxy.BackendName(r.Domain), r.Host)
	case a.Unknown != "":
		return "its sessions cannot be counted: " + a.Unknown
	case a.More > 0:
		return fmt.Sprintf("it has more servers with sessions than it can tell of: %d more", a.More)
	}
	return ""
}
