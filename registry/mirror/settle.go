package mirror

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/registry"
)

// This file decides how long a change of an address waits. It knows only what etcd says of the two keys.
//
// Some writers change the address of a host by two puts, of ip and of port. Others change only one of the two. After the first
// put, only the host's history tells which writer this is. So:
//
//   - A put of one key opens a move. Until a put of the other key matches it, the host is decoded with its last address. A put of
//     the other key matches the oldest open put, even if it does not change the value: so two writers at the same time do not end
//     each other's moves. The move ends when all its puts are matched, or after the settle time of the oldest one. A revision
//     with both keys is a whole address, and is decoded at once.
//   - The lead of a host is by how many puts one key is ahead of the other since the last match. A writer of both keys keeps it at
//     zero, a writer of one key does not. If the key that is put is ahead already, it was changed alone before, and the change
//     does not wait.
//   - At the start the lead comes from etcd's versions, if they prove it (Listing.addLead).
//
// Result: if all writers of a host write both keys, the second one within the settle time, the host is never decoded with the ip
// of one address and the port of another. Two writers at the same time have to begin with the same key, or write both keys in one
// transaction.
//
// A writer that dies between its two puts leaves such a mixed address in etcd. The next writer of both keys that begins with the
// same key then counts as a writer of one key; from its second put on all is as before. The same happens when a writer of both
// keys takes over from a writer of one key.

// A move is a host of which only one of ip and port has been put.
type move struct {
	host address
	// ip and port are decoded until the move ends, unless it is free: then the key that was put was ahead, and nothing waits.
	ip, port registry.KeyValue
	free     bool
	// open are the puts of one key, attr, that no put of the other key has matched yet, oldest first; never empty.
	attr string
	open []openPut
	// revision is that of the first change that the move holds back, and heard is when etcd sent it; zero if it holds none.
	revision int64
	heard    time.Time
}

// An openPut waits until a time. It is same if it did not change the value.
type openPut struct {
	until time.Time
	same  bool
}

// An address names a host in etcd. path is the beginning of its keys, without the attribute.
type address struct{ path, domain, host string }

// A touch is a host whose ip or port is among the changes of a revision, with the values before.
type touch struct {
	address
	revision       int64
	heard          time.Time
	ip, port       bool
	wasIP, wasPort string
	good           bool // both values were there, and good
}

// IsAddress reports whether the key may be the ip or the port of a host, or both in one.
func (m *Mirror) IsAddress(key string) bool {
	_, _, ok := m.host(key)
	return ok
}

// host returns the host whose ip, port or whole address (registry.Itself) the key is.
func (m *Mirror) host(key string) (host address, attr string, ok bool) {
	rest, below := strings.CutPrefix(key, m.root)
	domain, rest, deep := strings.Cut(rest, "/")
	name, attr, deeper := strings.Cut(rest, "/")
	if !below || !deep || registry.CheckDomain(domain) != nil {
		return address{}, "", false
	}
	host = address{path: strings.TrimSuffix(key, attr), domain: strings.ToLower(domain), host: name}
	if !deeper {
		host.path += "/"
		return host, registry.Itself, !registry.IsOption(name)
	}
	return host, attr, attr == "ip" || attr == "port"
}

// touched returns the hosts whose ip or port is among the changes. It is called before the changes are made.
func (m *Mirror) touched(changes []Change) map[string]touch {
	var hosts map[string]touch
	for _, c := range changes {
		host, attr, ok := m.host(c.Key)
		if !ok {
			continue
		}
		if c.Expired {
			m.leaseEnded[host] = struct{}{}
		}
		if attr == registry.Itself {
			continue // never half written
		}
		if hosts == nil {
			hosts = map[string]touch{}
		}
		t, again := hosts[host.path]
		if !again {
			t = m.touch(host)
			t.revision, t.heard = c.Revision, c.Heard
		}
		t.ip, t.port = t.ip || attr == "ip", t.port || attr == "port"
		hosts[host.path] = t
	}
	return hosts
}

func (m *Mirror) touch(host address) touch {
	t := touch{address: host}
	g := m.groups[host.domain]
	if g == nil {
		return t
	}
	t.wasIP, _ = g.value(host.path + "ip")
	t.wasPort, _ = g.value(host.path + "port")
	t.good = registry.CheckValue("ip", t.wasIP) == nil && registry.CheckValue("port", t.wasPort) == nil
	return t
}

// attr is the key that is put, or one of the two, and its value before.
func (t touch) attr() (attr, was string) {
	if t.ip {
		return "ip", t.wasIP
	}
	return "port", t.wasPort
}

// updateMove opens, continues or ends the move of a host, after the changes that touched it.
func (m *Mirror) updateMove(t touch, now time.Time) {
	g := m.groups[t.domain]
	mv, moving := g.moves[t.path]
	attr, was := t.attr()
	is, there := g.value(t.path + attr)
	switch {
	case g.gone(t.path), t.ip && t.port && !moving:
		m.match(g, t.address)
		return
	case t.ip && t.port: // open puts may still be matched
		delete(g.leads, t.path)
		t.wasIP, _ = g.value(t.path + "ip")
		t.wasPort, _ = g.value(t.path + "port")
		mv.ip, mv.port = t.keys()
		m.keep(g, mv, t)
		return
	case !moving && !t.good:
		delete(g.leads, t.path)
		return
	case !moving, attr == mv.attr && mv.free && !there: // a deletion is never free: no server is removed at once
		mv = move{host: t.address, attr: attr, free: there && leadOf(attr)*g.leads[t.path] > 0}
		mv.ip, mv.port = t.keys()
	case attr != mv.attr:
		if mv.open = mv.open[1:]; len(mv.open) == 0 || mv.free {
			m.match(g, t.address)
			return
		}
	}
	if attr == mv.attr && (was != "" || len(mv.open) == 0) { // a key that was deleted and comes back is the same put
		mv.open = append(slices.Clip(mv.open), openPut{until: now.Add(m.settle), same: there && is == was})
	}
	m.keep(g, mv, t)
}

// keep stores a move after a touch.
func (m *Mirror) keep(g *group, mv move, t touch) {
	switch {
	case !g.holds(mv):
		m.release(mv)
		mv.revision = 0
	case mv.revision == 0:
		mv.revision, mv.heard = t.revision, t.heard
	}
	if g.moves == nil {
		g.moves = map[string]move{}
		m.unsettled[t.domain] = struct{}{}
	}
	g.moves[t.path] = mv
}

// release marks the domain dirty if the move holds something back.
func (m *Mirror) release(mv move) {
	if mv.revision > 0 {
		m.markDirty(mv.host.domain, mv.heard)
	}
}

// keys are those of the host as they were before.
func (t touch) keys() (ip, port registry.KeyValue) {
	return registry.KeyValue{Key: t.path + "ip", Value: t.wasIP}, registry.KeyValue{Key: t.path + "port", Value: t.wasPort}
}

// gone reports whether the host has neither key.
func (g *group) gone(path string) bool {
	_, hasIP := g.value(path + "ip")
	_, hasPort := g.value(path + "port")
	return !hasIP && !hasPort
}

// leadOf is what a put of the key adds to the lead of its host.
func leadOf(attr string) int {
	if attr == "ip" {
		return 1
	}
	return -1
}

// holds reports whether the move decodes the host with another address than etcd has.
func (g *group) holds(mv move) bool {
	if mv.free {
		return false
	}
	ip, hasIP := g.value(mv.ip.Key)
	port, hasPort := g.value(mv.port.Key)
	return !hasIP || !hasPort || ip != mv.ip.Value || port != mv.port.Value
}

// match ends the move of a host whose keys have both been put, or are both gone.
func (m *Mirror) match(g *group, host address) {
	delete(g.leads, host.path)
	if _, moving := g.moves[host.path]; moving {
		m.end(g, host)
	}
}

func (m *Mirror) end(g *group, host address) {
	m.release(g.moves[host.path])
	delete(g.moves, host.path)
	if len(g.moves) > 0 {
		return
	}
	g.moves = nil
	if delete(m.unsettled, host.domain); len(m.unsettled) == 0 {
		m.unsettled = map[string]struct{}{} // a walk through the old one costs what it once held
	}
}

// Settle ends the moves whose time is up, and reports whether that may make a difference.
func (m *Mirror) Settle(now time.Time) (ended bool) {
	for name := range m.unsettled {
		g := m.groups[name]
		for path, mv := range g.moves {
			for len(mv.open) > 0 && mv.open[0].same && !mv.open[0].until.After(now) {
				mv.open = mv.open[1:]
			}
			switch {
			case len(mv.open) > 0 && mv.open[0].until.After(now):
				g.moves[path] = mv
				continue
			case len(mv.open) > 0:
				g.addLead(mv)
			}
			ended = ended || mv.revision > 0
			m.end(g, mv.host)
		}
	}
	return ended
}

// addLead adds the unmatched puts of a move to the lead of its host.
func (g *group) addLead(mv move) {
	n := g.leads[mv.host.path] + leadOf(mv.attr)*len(mv.open)
	g.leads = set(g.leads, mv.host.path, n)
	if n == 0 {
		delete(g.leads, mv.host.path)
	}
}

// NextSettle returns when the first move ends; zero if there is none.
func (m *Mirror) NextSettle() (next time.Time) {
	for name := range m.unsettled {
		for _, mv := range m.groups[name].moves {
			if until := mv.open[0].until; next.IsZero() || until.Before(next) {
				next = until
			}
		}
	}
	return next
}

// effective returns the keys to decode.
func (g *group) effective() []registry.KeyValue {
	if len(g.moves) == 0 {
		return g.keys
	}
	e := group{keys: slices.Clone(g.keys)}
	for _, mv := range g.moves {
		if mv.revision > 0 {
			e.set(Change{KeyValue: mv.ip}, math.MaxInt)
			e.set(Change{KeyValue: mv.port}, math.MaxInt)
		}
	}
	return e.keys
}

// expired returns the hosts whose lease ended, sorted, once the snapshot has them no more.
func (m *Mirror) expired() []string {
	var names []string
	for host := range m.leaseEnded {
		g := m.groups[host.domain]
		if g != nil && g.moves[host.path].revision > 0 {
			continue
		}
		delete(m.leaseEnded, host)
		if g == nil || !g.serves(host.host) {
			names = append(names, host.domain+"/"+host.host)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (g *group) serves(host string) bool {
	return slices.ContainsFunc(g.domain, func(d *registry.Domain) bool {
		return slices.Contains(d.HeldHosts, host) ||
			slices.ContainsFunc(d.Unclear, func(p registry.Problem) bool { return p.Host == host }) ||
			slices.ContainsFunc(d.Hosts, func(h registry.Host) bool { return h.Name == host })
	})
}
