package runtimeapi

import (
	"context"
	"net/netip"

	"github.com/hapsync/hapsync/haproxy"
)

// Raise makes servers that a worker has at these addresses, ready and down, take traffic, and returns those. It leaves alone what has
// become another server, and a server that was added and that HAProxy has checked itself since; moved ones were checked at
// another address before. It reads and writes no Cache.
func (r Client) Raise(ctx context.Context, w Worker, servers map[haproxy.ServerKey]netip.AddrPort, moved map[haproxy.ServerKey]bool) (raised []haproxy.ServerKey, err error) {
	var names, states []string
	seen := map[string]bool{}
	for key := range servers {
		if !seen[key.Backend] {
			seen[key.Backend] = true
			names, states = append(names, key.Backend), append(states, "show servers state "+key.Backend)
		}
	}
	reader := newLiveReader(names)
	reader.names = r.Names.now()
	now, err := r.read(ctx, reader, pack(append([]string{showInfo}, states...)))
	if err != nil || !now.Same(w) {
		return nil, err
	}
	var commands []string
	for _, b := range reader.order {
		for _, s := range b.Servers {
			key := haproxy.ServerKey{Backend: b.Name, Name: s.Name}
			addr, wanted := servers[key]
			if wanted && s.Addr == addr && (s.Undecided || moved[key] && s.Down) {
				raised = append(raised, key)
				commands = append(commands, "set server "+key.String()+" health up")
			}
		}
	}
	return raised, r.exec(ctx, commands)
}
