package sync

import (
	"errors"
	"maps"

	"github.com/hapsync/hapsync/haproxy"
)

// heldRemovals says why an agent would hold back the removal of a server, by domain and server name. The other tool may remove it
// nevertheless.
type heldRemovals map[string]map[string]string

// update adds the removals that a safeguard holds back in a pass, and drops servers that the registry has again.
func (h heldRemovals) update(p *pass, err error) {
	for domain, servers := range h {
		if b, _ := backendOf(p.asked, domain); len(p.held[domain]) == 0 {
			h.drop(domain, servers, func(name string) bool { _, wanted := haproxy.FindServer(b, name); return wanted })
		}
	}
	var held *HeldError
	if errors.As(err, &held) {
		for _, key := range p.report.leaving {
			h.add(key.Domain(), key.Name, held.Reason)
		}
	}
	for domain, hosts := range p.held {
		for _, name := range hosts {
			h.add(domain, name, p.report.Held)
		}
	}
}

// forget drops the servers that are neither in the file nor in the process.
func (h heldRemovals) forget(st haproxy.State) {
	for domain, servers := range h {
		file, _ := backendOf(st.File, domain)
		live, _ := backendOf(st.Live, domain)
		h.drop(domain, servers, func(name string) bool {
			_, written := haproxy.FindServer(file, name)
			_, runs := haproxy.FindServer(live, name)
			return !written && !runs
		})
	}
}

func (h heldRemovals) add(domain, server, why string) {
	if h[domain] == nil {
		h[domain] = map[string]string{}
	}
	h[domain][server] = why
}

func (h heldRemovals) drop(domain string, servers map[string]string, which func(name string) bool) {
	maps.DeleteFunc(servers, func(name, _ string) bool { return which(name) })
	if len(servers) == 0 {
		delete(h, domain)
	}
}
