package web

import (
	"context"
	"errors"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
)

const (
	// rosterPace is the least time between two reads of the agents' reports, rosterWait the longest time that one may take.
	rosterPace = 5 * time.Second
	rosterWait = 3 * time.Second
)

// A roster shares one reading of the agents' reports among all who look.
type roster struct {
	mu   stdsync.Mutex
	of   Agent
	at   time.Time
	last render.Roster
	err  error
}

// errNoReports is why there is no list of agents.
var errNoReports = errors.New("the agents do not report here")

func (r *roster) read(ctx context.Context, subject Subject) (render.Roster, error) {
	if subject.Roster == nil {
		return render.Roster{}, errNoReports
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of != subject.Agent || time.Since(r.at) > rosterPace {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rosterWait)
		defer cancel()
		r.last, r.err = subject.Roster(ctx)
		r.of, r.at = subject.Agent, time.Now()
	}
	return r.last, r.err
}
