package journal

import (
	stdsync "sync"

	"github.com/hapsync/hapsync/sync"
)

// mostRemembered bounds the changes and entries of a Memory.
const mostRemembered = 20_000

// A Memory is a journal that no file has: it ends with the process. Any goroutine may use it. The zero Memory is empty.
type Memory struct {
	mu      stdsync.Mutex
	entries []sync.Entry // the oldest first
	size    int          // changes and entries
}

// Add keeps an entry, and forgets the oldest ones where there are too many.
func (m *Memory) Add(e sync.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries, m.size = append(m.entries, e), m.size+len(e.Changes)+1
	for m.size > mostRemembered && len(m.entries) > 1 {
		m.size -= len(m.entries[0].Changes) + 1
		m.entries = m.entries[1:]
	}
}

// Read returns the entries that a query asks for, the newest first.
func (m *Memory) Read(q Query) ([]sync.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := []sync.Entry{}
	for i := len(m.entries) - 1; i >= 0 && (q.Most == 0 || len(found) < q.Most); i-- {
		if e, ok := q.of(m.entries[i]); ok {
			found = append(found, e)
		}
	}
	return found, nil
}
