package journal

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// A Query is what is asked of a journal. The zero Query asks for everything.
type Query struct {
	Revision registry.Revision // 0 for any
	Since    time.Time
	Before   time.Time // zero for up to now
	Domain   string    // with the changes of this domain alone
	Reloads  bool      // with a reload of HAProxy
	Most     int       // so many entries; 0 for all
}

// Read returns the entries that a query asks for, the newest first. A line that cannot be read is passed over. An error that wraps
// fs.ErrNotExist says that there is no journal.
func (f File) Read(q Query) ([]sync.Entry, error) {
	generations, err := f.read()
	if err != nil {
		return nil, err
	}
	found := []sync.Entry{}
	for _, text := range generations {
		for len(text) > 0 && (q.Most == 0 || len(found) < q.Most) {
			end := bytes.LastIndexByte(text, '\n')
			if e, ok := q.entry(text[end+1:]); ok {
				found = append(found, e)
			}
			text = text[:max(end, 0)]
		}
	}
	return found, nil
}

// entry is that of a line, if it is asked for.
func (q Query) entry(line []byte) (e sync.Entry, ok bool) {
	if len(line) == 0 || q.Domain != "" && !bytes.Contains(line, []byte(q.Domain)) ||
		q.Reloads && !bytes.Contains(line, []byte(`"cause":`)) || json.Unmarshal(line, &e) != nil || e.At.IsZero() {
		return e, false
	}
	return q.of(e)
}

// of is what is asked for of an entry, if anything is.
func (q Query) of(e sync.Entry) (part sync.Entry, ok bool) {
	if q.Revision != 0 && e.Revision != q.Revision || e.At.Before(q.Since) || !q.Before.IsZero() && !e.At.Before(q.Before) || q.Reloads && e.Cause == "" {
		return e, false
	}
	if q.Domain != "" {
		return e.Of(q.Domain)
	}
	return e, true
}
