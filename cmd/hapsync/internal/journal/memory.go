package journal

import (
	stdsync "sync"

	"github.com/hapsync/hapsync/sync"
)

// maxRemembered limits the changes and entries of a Memory.
const maxRemembered = 20_000

// A Memory is a journal without a file. It is safe for concurrent use. The zero value is empty.
type Memory struct {
	mu      stdsync.Mutex
	entries []sync.Entry // the oldest first
	size    int          // changes and entries
}

// Add keeps an entry, and drops the oldest ones if there are too many.
func (m *Memory) Add(e sync.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries, m.size = append(m.entries, e), m.size+len(e.Changes)+1
	for m.size > maxRemembered && len(m.entries) > 1 {
		m.size -= len(m.entries[0].Changes) + 1
		m.entries = m.entries[1:]
	}
}

// Read returns the entries that match the query, newest first.
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
