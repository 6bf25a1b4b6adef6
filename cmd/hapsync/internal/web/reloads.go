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
	// reloadsPace is the least time between two readings of the journal for the reloads of today, reloadsRest how much longer one
	// counts if the agent has done nothing: hapsync sync may have.
	reloadsPace = 5 * time.Second
	reloadsRest = time.Minute
)

// A reloads is how many reloads of HAProxy the journal has since midnight, as of its last reading. It is read only while someone
// looks, and beside those who look.
type reloads struct {
	mu    stdsync.Mutex
	of    Agent
	upTo  time.Time // of the newest pass that the agent knew
	since time.Time // midnight
	due   time.Time
	count *int // nil where it is not known
	done  chan struct{}
}

// today is the last count. A new one is begun where a pass has done something since, or a new day has begun.
func (r *reloads) today(ctx context.Context, st *state) *int {
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
	news := r.of != st.subject.Agent || !r.since.Equal(midnight)
	if news {
		r.count = nil
	}
	news = news || !r.upTo.Equal(upTo) || r.count == nil || now.After(r.due.Add(reloadsRest))
	if r.done == nil && news && !now.Before(r.due) {
		// A pass is in the journal a moment after the agent knows it: what was done just now is looked for again.
		r.of, r.since, r.due, r.done = st.subject.Agent, midnight, now.Add(reloadsPace), make(chan struct{})
		if r.upTo = upTo; now.Sub(upTo) < fresh {
			r.upTo = time.Time{}
		}
		go r.read(st.subject.History, midnight, r.done)
	}
	done := r.done
	r.mu.Unlock()
	await(ctx, done, besideWait)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

func (r *reloads) read(history func(journal.Query) ([]sync.Entry, error), since time.Time, done chan struct{}) {
	found, err := history(journal.Query{Since: since, Reloads: true})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count = nil; err == nil || errors.Is(err, fs.ErrNotExist) { // nothing was done yet
		n := len(found)
		r.count = &n
	}
	r.done = nil
	close(done)
}
