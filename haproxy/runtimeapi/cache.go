package runtimeapi

import (
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// A Cache is what the backends of one worker looked like when they were read last. "show servers state" finds a
// backend by its name; "show stat" walks all of them (1.6 ms of 10,000 domains, on 3.2), and what it alone tells
// changes but rarely: so that is remembered. Nil remembers nothing. The goroutine that owns the Instance owns it.
type Cache struct {
	Worker   Worker
	backends map[string]*Backend // never written to
	// recent are the backends that Run may take as they are remembered, also as not there: read or recalled since the last one;
	// with all, every one.
	recent map[string]bool
	all    bool
	// forgotten are the backends of which the next reading is a full one, and so one without a look at what is remembered first.
	forgotten map[string]bool
}

// replace takes all backends.
func (m *Cache) replace(w Worker, backends []Backend) {
	if m == nil {
		return
	}
	m.Worker, m.backends, m.all, m.forgotten = w, make(map[string]*Backend, len(backends)), true, nil
	for i := range backends {
		m.backends[backends[i].Name] = &backends[i]
	}
}

// take takes some backends, of which the worker may have but some.
func (m *Cache) take(w Worker, names []string, backends []Backend) {
	if m == nil {
		return
	}
	m.become(w)
	for _, name := range names {
		delete(m.backends, name)
		delete(m.forgotten, name)
		m.recent[name] = true
	}
	for i := range backends {
		m.backends[backends[i].Name] = &backends[i]
	}
}

// become forgets what another worker had.
func (m *Cache) become(w Worker) {
	if m.backends == nil || !m.Worker.Same(w) {
		*m = Cache{Worker: w, backends: map[string]*Backend{}}
	}
	if m.recent == nil {
		m.recent = map[string]bool{}
	}
}

// complete adds to what "show servers state" told of a backend what is remembered of it. It reports false, and adds
// nothing, where the backend has other servers than it had.
func (m *Cache) complete(w Worker, b *joinedBackend) bool {
	if m == nil || !m.Worker.Same(w) {
		return false
	}
	known, ok := m.backends[b.Name]
	if !ok || len(known.Servers) != len(b.Servers) {
		return false
	}
	was := make(map[string]Server, len(known.Servers))
	for _, s := range known.Servers {
		was[s.Name] = s
	}
	for _, s := range b.Servers {
		if _, ok := was[s.Name]; !ok {
			return false
		}
	}
	for i := range b.Servers {
		s := was[b.Servers[i].Name]
		b.Servers[i].Cookie, b.Servers[i].Backup, b.Servers[i].MaxConn = s.Cookie, s.Backup, s.MaxConn
		b.Servers[i].Status, b.Servers[i].Sessions = s.Status, s.Sessions
	}
	b.Mode, b.Balance, b.Cookie, b.Unpublished, b.seen = known.Mode, known.Balance, known.Cookie, known.Unpublished, true
	return true
}

// Backends is what some backends looked like; it is not ok where one is not remembered.
func (m *Cache) Backends(names []string) (backends []Backend, ok bool) {
	if m == nil {
		return nil, false
	}
	for _, name := range names {
		b, known := m.backends[name]
		if !known {
			return nil, false
		}
		backends = append(backends, *b)
	}
	if m.recent == nil {
		m.recent = map[string]bool{}
	}
	for _, name := range names {
		m.recent[name] = true
	}
	return backends, true
}

// Forget makes the next reading of some backends a full one.
func (m *Cache) Forget(names ...string) {
	if m == nil {
		return
	}
	if m.forgotten == nil {
		m.forgotten = map[string]bool{}
	}
	for _, name := range names {
		delete(m.backends, name)
		m.forgotten[name] = true
	}
}

// forgot reports whether a backend was forgotten, and not read since.
func (m *Cache) forgot(name string) bool { return m != nil && m.forgotten[name] }

// Rename makes what was just read of a backend that of another name.
func (m *Cache) Rename(from, to string) {
	if m == nil {
		return
	}
	if b, known := m.backends[from]; known && m.recent[from] {
		renamed := *b
		renamed.Name = to
		m.backends[to] = &renamed
		m.recent[to] = true
		delete(m.backends, from)
		delete(m.recent, from)
	}
}

// Recent are the backends of these names that the process has, as they were read or taken from the cache since the last Run; it is not
// ok where one was not.
func (m *Cache) Recent(names []string) (w Worker, backends []Backend, ok bool) {
	if m == nil {
		return w, nil, false
	}
	for _, name := range names {
		if !m.all && !m.recent[name] || m.forgotten[name] {
			return w, nil, false
		}
		if b, there := m.backends[name]; there {
			backends = append(backends, *b)
		}
	}
	return m.Worker, backends, true
}

// View is the changes' servers as they were read or taken from the cache since the last Run; it is not ok where one was not.
func (m *Cache) View(changes []haproxy.Change) (live View, ok bool) {
	if m == nil {
		return nil, false
	}
	live = View{}
	for _, c := range changes {
		name := c.Key().Backend
		b, known := m.backends[name]
		if !known || !m.all && !m.recent[name] {
			return nil, false
		}
		live.add(*b)
	}
	return live, true
}

// Ran takes note that the process was changed.
func (m *Cache) Ran() {
	if m != nil {
		m.recent, m.all = nil, false
	}
}

// unread are the backends of changes that do more to a server than "show servers state" tells.
func unread(changes []haproxy.Change, live View) (names []string) {
	for _, c := range changes {
		if _, want := c.Servers(); c.Op() != haproxy.OpSet || live[c.Key()].MaxConn != want.MaxConn {
			names = append(names, c.Key().Backend)
		}
	}
	return names
}

// Has reports whether a server is there, as far as that was read.
func (m *Cache) Has(key haproxy.ServerKey) bool {
	if m == nil {
		return false
	}
	b, ok := m.backends[key.Backend]
	return ok && slices.ContainsFunc(b.Servers, func(s Server) bool { return s.Name == key.Name })
}
