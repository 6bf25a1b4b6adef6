package web

import (
	"context"
	"errors"
	"io/fs"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/journal"
	"github.com/hapsync/hapsync/sync"
)

const (
	reloadsPace = 5 * time.Second // minimum time between two reads
	reloadsRest = time.Minute     // a count stays longer if the agent has done nothing; hapsync sync may have
)

// A reloadCache is how many reloads of HAProxy the journal has since midnight, as of its last read. It reads only when there
// are requests, in the background.
type reloadCache struct {
	mu    stdsync.Mutex
	of    Agent
	upTo  time.Time // of the newest pass that the agent knew
	since time.Time // midnight
	due   time.Time
	count *int // nil if unknown
	done  chan struct{}
}

// today is the last count. It begins a new one if a pass has done something since, or a new day has begun.
func (r *reloadCache) today(ctx context.Context, st *state) *int {
	if st.subject.History == nil {
		return nil
	}
	now := st.at.Local()
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	var upTo time.Time
	if len(st.status.Passes) > 0 {
		upTo = st.status.Passes[0].At
	}
	r.mu.Lock()
	due := r.of != st.subject.Agent || !r.since.Equal(midnight)
	if due {
		r.count = nil
	}
	due = due || !r.upTo.Equal(upTo) || r.count == nil || now.After(r.due.Add(reloadsRest))
	if r.done == nil && due && !now.Before(r.due) {
		// The journal has a pass a moment later than the agent: read again soon for a pass of just now.
		r.of, r.since, r.due, r.done = st.subject.Agent, midnight, now.Add(reloadsPace), make(chan struct{})
		if r.upTo = upTo; now.Sub(upTo) < maxAge {
			r.upTo = time.Time{}
		}
		go r.read(st.subject.History, midnight, r.done)
	}
	done := r.done
	r.mu.Unlock()
	await(ctx, done, otherWait)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

func (r *reloadCache) read(history func(journal.Query) ([]sync.Entry, error), since time.Time, done chan struct{}) {
	found, err := history(journal.Query{Since: since, Reloads: true})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count = nil; err == nil || errors.Is(err, fs.ErrNotExist) { // no pass has done anything yet
		n := len(found)
		r.count = &n
	}
	r.done = nil
	close(done)
}
