package mirror

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/registry"
)

// A move is a host of which only one of ip and port has changed. Until the other key comes, or the
// time is up, it is decoded with the key as it was.
type move struct {
	was      registry.KeyValue
	until    time.Time
	revision int64 // of the change that began it
}

// An address names a host in etcd: the path is its keys' without the attribute.
type address struct{ path, domain, host string }

// touch is a host whose ip or port is among the changes of a revision, with the values before.
type touch struct {
	address
	revision       int64
	ip, port       bool
	wasIP, wasPort string
	good           bool // both were there, and good
}

// IsAddress reports whether the key may be the ip or the port of a host, or both in one.
func (m *Mirror) IsAddress(key string) bool {
	_, _, ok := m.host(key)
	return ok
}

// host returns the host that the key is the ip or the port of, or both in one (registry.Itself).
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

// touched returns the hosts with an ip or a port among the changes, which are to be made.
func (m *Mirror) touched(changes []Change) map[string]touch {
	var hosts map[string]touch
	for _, c := range changes {
		host, attr, ok := m.host(c.Key)
		if !ok {
			continue
		}
		if c.Expired {
			m.lapsed[host] = struct{}{}
		}
		if attr == registry.Itself {
			continue // never half written
		}
		if hosts == nil {
			hosts = map[string]touch{}
		}
		t, again := hosts[host.path]
		if !again {
			t = m.before(host)
			t.revision = c.Revision
		}
		t.ip, t.port = t.ip || attr == "ip", t.port || attr == "port"
		hosts[host.path] = t
	}
	return hosts
}

func (m *Mirror) before(host address) touch {
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

// weigh begins a move, or ends it, after the changes that touched the host.
func (m *Mirror) weigh(t touch, now time.Time) {
	g := m.groups[t.domain]
	if begun, moving := g.moves[t.path]; moving {
		is, there := g.value(begun.was.Key)
		if t.ip && t.port || t.touches() != begun.was.Key || there && is == begun.was.Value {
			m.end(t.domain, t.path)
		}
		return
	}
	if t.ip && t.port || !t.good {
		return
	}
	was := registry.KeyValue{Key: t.touches(), Value: t.wasIP}
	if t.port {
		was.Value = t.wasPort
	}
	if is, there := g.value(was.Key); there && is == was.Value {
		return
	}
	if g.moves == nil {
		g.moves = map[string]move{}
		m.unsettled[t.domain] = struct{}{}
	}
	g.moves[t.path] = move{was: was, until: now.Add(m.settle), revision: t.revision}
}

// touches returns the one key, or one of the two.
func (t touch) touches() string {
	if t.ip {
		return t.path + "ip"
	}
	return t.path + "port"
}

func (m *Mirror) end(name, path string) {
	g := m.groups[name]
	delete(g.moves, path)
	m.dirty[name] = struct{}{}
	if len(g.moves) == 0 {
		g.moves = nil
		delete(m.unsettled, name)
	}
}

// Settle ends the moves whose time is up.
func (m *Mirror) Settle(now time.Time) {
	for name := range m.unsettled {
		for path, mv := range m.groups[name].moves {
			if !mv.until.After(now) {
				m.end(name, path)
			}
		}
	}
}

// NextSettle returns when the first move ends, or the zero time where there is none.
func (m *Mirror) NextSettle() (next time.Time) {
	for name := range m.unsettled {
		for _, mv := range m.groups[name].moves {
			if next.IsZero() || mv.until.Before(next) {
				next = mv.until
			}
		}
	}
	return next
}

// effective returns the keys as they are to be decoded.
func (g *group) effective() []registry.KeyValue {
	if len(g.moves) == 0 {
		return g.keys
	}
	e := group{keys: slices.Clone(g.keys)}
	for _, mv := range g.moves {
		e.set(Change{KeyValue: mv.was}, math.MaxInt)
	}
	return e.keys
}

// expired returns the hosts that went with their leases, sorted, once they are gone from the snapshot.
func (m *Mirror) expired() []string {
	var names []string
	for host := range maps.Keys(m.lapsed) {
		g := m.groups[host.domain]
		if g != nil {
			if _, moving := g.moves[host.path]; moving {
				continue
			}
		}
		delete(m.lapsed, host)
		if g == nil || !g.serves(host.host) {
			names = append(names, host.domain+"/"+host.host)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (g *group) serves(host string) bool {
	return slices.ContainsFunc(g.domain, func(d registry.Domain) bool {
		return slices.Contains(d.HeldHosts, host) || slices.ContainsFunc(d.Hosts, func(h registry.Host) bool { return h.Name == host })
	})
}
