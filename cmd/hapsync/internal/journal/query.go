package journal

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// A Query selects entries of a journal. The zero Query selects all.
type Query struct {
	Revision registry.Revision // 0 for any
	Since    time.Time
	Before   time.Time // zero for up to now
	Domain   string    // only the changes of this domain
	Reloads  bool      // only entries with a reload of HAProxy
	Most     int       // at most so many entries; 0 for all
}

// Read returns the entries that match the query, newest first. It skips lines that cannot be read. If there is no journal, the
// error wraps fs.ErrNotExist.
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

// entry parses a line, if the entry matches.
func (q Query) entry(line []byte) (e sync.Entry, ok bool) {
	if len(line) == 0 || q.Domain != "" && !bytes.Contains(line, []byte(q.Domain)) ||
		q.Reloads && !bytes.Contains(line, []byte(`"cause":`)) || json.Unmarshal(line, &e) != nil || e.At.IsZero() {
		return e, false
	}
	return q.of(e)
}

// of is the part of an entry that matches, if any.
func (q Query) of(e sync.Entry) (part sync.Entry, ok bool) {
	tooLate := !q.Before.IsZero() && !e.At.Before(q.Before)
	if e.At.Before(q.Since) || tooLate || q.Revision != 0 && e.Revision != q.Revision || q.Reloads && e.Cause == "" {
		return e, false
	}
	if q.Domain != "" {
		return e.Of(q.Domain)
	}
	return e, true
}
