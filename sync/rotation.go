package sync

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/registry"
)

// verdict says whether a host is in rotation, and why. HAProxy decides whether, the registry explains why.
func (e explainer) verdict(h ExplainedHost) (verdict, why string) {
	switch {
	case e.HAProxy != nil && h.notWanted() && e.Registry == nil:
		return NotInRotation, e.inRegistry(h)
	case e.HAProxy != nil:
		return Unknown, e.inRegistry(h) + "; what HAProxy does is not known: " + e.HAProxy.Error()
	case h.Server == nil:
		return NotInRotation, e.whyAbsent(h)
	case !e.Ruled:
		return NotInRotation, "HAProxy has no use_backend rule for the domain yet: it comes with a reload"
	case e.maintenance:
		return NotInRotation, "the domain is in maintenance: HAProxy answers all its requests with 503 (the key maintenance is true)"
	}
	s := *h.Server
	if why := e.whyStopped(h); why != "" {
		return NotInRotation, why
	}
	why = fmt.Sprintf("%s, weight %d, at %s", s.Status, s.Weight, s.Addr)
	if s.Backup {
		why += ", as a backup: it gets requests while all others are down"
	}
	switch {
	case e.Registry != nil:
		why += "; what the registry says is not known"
	case h.unregistered():
		why += "; it is not registered any more, and leaves"
	case h.Registered == nil:
		why += "; with its last good values: " + e.inRegistry(h)
	case len(h.Plan) > 0:
		why += "; it is not in line with the registry: see the plan"
	}
	return InRotation, why
}

// notWanted reports whether the registry wants no server for the host.
func (h ExplainedHost) notWanted() bool { return h.Registered == nil && h.problem() == nil }

// problem is the first problem of the host itself; nil if it has none.
func (h ExplainedHost) problem() *registry.Problem {
	for i := range h.Problems {
		if h.Problems[i].Host == h.Host {
			return &h.Problems[i]
		}
	}
	return nil
}

// unregistered reports whether the registry has no key and no problem of the host.
func (h ExplainedHost) unregistered() bool {
	return len(h.Keys) == 0 && h.Registered == nil && h.Missing == "" && h.problem() == nil
}

// inRegistry describes what the registry says of a host.
func (e explainer) inRegistry(h ExplainedHost) string {
	switch p := h.problem(); {
	case e.Registry != nil:
		return "what the registry says is not known: " + e.Registry.Error()
	case p != nil:
		return p.Key + ": " + p.Reason
	case h.Missing != "":
		return "it is half written: " + h.Missing + " is missing"
	case h.unregistered():
		return fmt.Sprintf("it is not registered: there is no key below %s/%s/%s/", e.prefix, e.Domain, h.Host)
	case h.Registered == nil:
		return "its keys make no host"
	}
	return "the registry has it as " + string(h.Registered.State)
}

// whyAbsent says why HAProxy has no server of the host.
func (e explainer) whyAbsent(h ExplainedHost) string {
	if e.Registry != nil || h.Registered == nil {
		return e.inRegistry(h)
	}
	for _, p := range h.Problems {
		if p.Host == "" {
			return p.Key + ": " + p.Reason
		}
	}
	if e.Held != "" {
		return "it is registered, but a safeguard holds all changes: " + e.Held
	}
	return "it is registered, and not in HAProxy yet: hapsync sync, or the agent, does what the plan says"
}

// whyStopped says why a server gets no requests, or none of new clients; empty if it gets them.
func (e explainer) whyStopped(h ExplainedHost) string {
	s := *h.Server
	word, _, _ := strings.Cut(s.Status, " ")
	switch {
	case word == "MAINT":
		return "HAProxy has it in maintenance: " + e.stoppedBy(h, registry.Maint)
	case word == "DRAIN", s.Weight == 0:
		return "HAProxy lets only clients with its cookie in: " + e.stoppedBy(h, registry.Drain)
	case word == "DOWN" && (s.Check == "" || s.Check == "INI"):
		return "its first check is not done yet"
	case word == "DOWN", word == "NOLB":
		return fmt.Sprintf("its check fails: %s, %s for %s", s.LastCheck(), s.Status, s.Since.Round(time.Second))
	}
	return ""
}

// stoppedBy says who put a server into maintenance or drain.
func (e explainer) stoppedBy(h ExplainedHost, state registry.HostState) string {
	switch {
	case h.Override != nil:
		return fmt.Sprintf("%s was set on its socket, the registry says %s", h.Override.Live, h.Override.Registry)
	case e.Registry != nil:
		return e.inRegistry(h)
	case h.unregistered():
		return "it is not registered any more, and leaves"
	case h.Registered == nil:
		return e.inRegistry(h)
	case h.Registered.State == state && state == registry.Maint:
		return "its state is maint in the registry (hapsync ready ends that, or its --check when that has set it)"
	case h.Registered.State == state:
		return fmt.Sprintf("its state is %s in the registry (hapsync ready ends that)", state)
	case state == registry.Drain && h.Registered.Weight == 0:
		return "its weight is 0 in the registry"
	case slices.ContainsFunc(e.pass.report.Agents, func(a Override) bool { return a.Domain == e.Domain && a.Host == h.Host }):
		return "its agent-check has set that"
	}
	return "the registry says " + string(h.Registered.State) + ": it was set on HAProxy's socket, or the change is on its way"
}
