package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An Ack is a write to a host that the agents have to acknowledge.
type Ack struct {
	// Revision of the write.
	Revision Revision
	// Domain and Host name the host that was written.
	Domain, Host string
	// Finished also requires that no session is left on the host's server.
	Finished bool

	// known are the agents that earlier calls of Missing saw.
	known map[string]bool
}

// Missing returns one sorted line for each agent that has not acknowledged the write; none if all have. An agent that an
// earlier call saw and that is gone is missing: its HAProxy may still run, without the write.
func (k *Ack) Missing(agents []AgentReport) []string {
	if k.known == nil {
		k.known = map[string]bool{}
	}
	gone := make(map[string]bool, len(k.known))
	for name := range k.known {
		gone[name] = true
	}
	var missing []string
	for _, a := range agents {
		k.known[a.Name] = true
		delete(gone, a.Name)
		if why := k.missingFrom(a); why != "" {
			missing = append(missing, a.Name+": "+why)
		}
	}
	for name := range gone {
		missing = append(missing, name+": it was there and is gone, without a word about the write")
	}
	slices.Sort(missing)
	return missing
}

// missingFrom says what one agent has not acknowledged; empty if nothing is missing.
func (k *Ack) missingFrom(a AgentReport) string {
	switch {
	case a.Applied >= k.Revision:
	case a.Reached >= k.Revision && a.WaitingMore == 0 && !slices.Contains(a.Waiting, k.Domain): // other domains keep Applied back
	case a.Held != "":
		return "it holds its changes back: " + a.Held
	case a.Reason != "":
		return "it is not ready: " + a.Reason
	case a.Applied == 0:
		return "it has applied nothing yet"
	default:
		return fmt.Sprintf("it has applied revision %d, the write is %d", a.Applied, k.Revision)
	}
	if slices.Contains(a.LeftOut, k.Domain) || slices.Contains(a.LeftOut, k.Domain+"/"+k.Host) {
		return "it leaves the host out, hapsync status there says why"
	}
	if a.LeftOutMore > 0 {
		return fmt.Sprintf("it leaves out more than its report can name: %d more", a.LeftOutMore)
	}
	if !k.Finished { // a half-written host gets no requests: it is out
		return k.pendingAt(a)
	}
	at := slices.IndexFunc(a.Leaving, func(l Leaving) bool { return l.Domain == k.Domain && l.Host == k.Host })
	switch {
	case at >= 0:
		return fmt.Sprintf("%s left on host %s/%s", Count(a.Leaving[at].Sessions, "session"), k.Domain, k.Host)
	case a.Unknown != "":
		return "its sessions cannot be counted: " + a.Unknown
	case a.More > 0:
		return fmt.Sprintf("it has more servers with sessions than it can tell of: %d more", a.More)
	}
	return ""
}

// isBehind reports whether the host comes behind the last of some lines, which are sorted by domain and host.
func (k *Ack) isBehind(lines []string) bool {
	if len(lines) == 0 {
		return true
	}
	path, _, _ := strings.Cut(lines[len(lines)-1], ": ")
	domain, host, _ := strings.Cut(path, "/")
	return cmp.Or(cmp.Compare(k.Domain, domain), cmp.Compare(k.Host, host)) > 0
}

// pendingAt says that the host is half written for an agent; empty if it is not.
func (k *Ack) pendingAt(a AgentReport) string {
	for _, line := range a.Pending {
		if missing, found := strings.CutPrefix(line, k.Domain+"/"+k.Host+": "); found {
			return "the host is half written, so it gets no requests: " + missing + " (put the other key)"
		}
	}
	if a.PendingMore > 0 && k.isBehind(a.Pending) {
		return fmt.Sprintf("it has more half-written hosts than its report can name: %d more", a.PendingMore)
	}
	return ""
}
