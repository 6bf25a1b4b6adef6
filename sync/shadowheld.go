package sync

import (
	"errors"
	"maps"

	"github.com/hapsync/hapsync/haproxy"
)

// heldRemovals are the servers whose removal an agent would hold back, and why, by domain and name: the other tool may remove them
// nevertheless.
type heldRemovals map[string]map[string]string

// take takes note of what a safeguard holds back of a pass, and forgets servers that the registry has again.
func (w heldRemovals) take(p *pass, err error) {
	for domain, servers := range w {
		if b, _ := backendOf(p.asked, domain); len(p.held[domain]) == 0 {
			w.drop(domain, servers, func(name string) bool { _, wanted := haproxy.FindServer(b, name); return wanted })
		}
	}
	var held *HeldError
	if errors.As(err, &held) {
		for _, key := range p.report.leaving {
			w.add(key.Domain(), key.Name, held.Reason)
		}
	}
	for domain, hosts := range p.held {
		for _, name := range hosts {
			w.add(domain, name, p.report.Held)
		}
	}
}

// forget drops the servers that HAProxy has neither in its file nor in its process.
func (w heldRemovals) forget(st haproxy.State) {
	for domain, servers := range w {
		file, _ := backendOf(st.File, domain)
		live, _ := backendOf(st.Live, domain)
		w.drop(domain, servers, func(name string) bool {
			_, written := haproxy.FindServer(file, name)
			_, runs := haproxy.FindServer(live, name)
			return !written && !runs
		})
	}
}

func (w heldRemovals) add(domain, server, why string) {
	if w[domain] == nil {
		w[domain] = map[string]string{}
	}
	w[domain][server] = why
}

func (w heldRemovals) drop(domain string, servers map[string]string, which func(name string) bool) {
	maps.DeleteFunc(servers, func(name, _ string) bool { return which(name) })
	if len(servers) == 0 {
		delete(w, domain)
	}
}
