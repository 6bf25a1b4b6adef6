package runtimeapi

import (
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// A Cache has the last reading of the backends of one worker. "show servers state" finds a backend by its name. "show stat" walks all of
// them (1.6 ms with 10,000 domains, on 3.2), and what only it shows rarely changes, so the cache keeps that. nil keeps nothing. It
// belongs to the goroutine that owns the Instance.
type Cache struct {
	Worker   Worker
	backends map[string]*Backend // never written to
	// recent are the backends that were read, or taken from the cache, since the last Run: the next Run may trust the cache about them,
	// also if they do not exist. With all, every backend is recent.
	recent map[string]bool
	all    bool
	// forgotten are the backends whose next reading must not use the cache.
	forgotten map[string]bool
}

// replace stores all backends.
func (m *Cache) replace(w Worker, backends []Backend) {
	if m == nil {
		return
	}
	m.Worker, m.backends, m.all, m.forgotten = w, make(map[string]*Backend, len(backends)), true, nil
	for i := range backends {
		m.backends[backends[i].Name] = &backends[i]
	}
}

// take stores a reading of some backends, by their names. The worker may not have all of them.
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

// become drops the backends of another worker.
func (m *Cache) become(w Worker) {
	if m.backends == nil || !m.Worker.Same(w) {
		*m = Cache{Worker: w, backends: map[string]*Backend{}}
	}
	if m.recent == nil {
		m.recent = map[string]bool{}
	}
}

// complete adds to a reading of "show servers state" what the cache knows of the backend. If the backend has other servers than in the
// cache, it adds nothing and returns false.
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

// Backends are some backends from the cache; ok is false if one is not there.
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

// forgot reports whether a backend was forgotten and not read since.
func (m *Cache) forgot(name string) bool { return m != nil && m.forgotten[name] }

// Rename gives a backend that was just read another name.
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

// Recent are those of the named backends that the process has, as they were read or taken from the cache since the last Run. ok is false
// if one of the names was not.
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

// View are the servers of the changes, as they were read or taken from the cache since the last Run; ok is false if one was not.
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

// Ran says that the process was changed.
func (m *Cache) Ran() {
	if m != nil {
		m.recent, m.all = nil, false
	}
}

// unread are the backends of changes whose result "show servers state" does not show completely.
func unread(changes []haproxy.Change, live View) (names []string) {
	for _, c := range changes {
		if _, want := c.Servers(); c.Op() != haproxy.OpSet || live[c.Key()].MaxConn != want.MaxConn {
			names = append(names, c.Key().Backend)
		}
	}
	return names
}

// Has reports whether the cache has a server.
func (m *Cache) Has(key haproxy.ServerKey) bool {
	if m == nil {
		return false
	}
	b, ok := m.backends[key.Backend]
	return ok && slices.ContainsFunc(b.Servers, func(s Server) bool { return s.Name == key.Name })
}
