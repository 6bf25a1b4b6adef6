package web

import (
	"context"
	"errors"
	"sort"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
)

const (
	rosterPace    = 5 * time.Second // minimum time between two reads of the agents' reports
	rosterTimeout = 3 * time.Second // of one read
)

// A rosterCache shares one read of the agents' reports among all requests.
type rosterCache struct {
	mu   stdsync.Mutex
	of   Agent
	at   time.Time
	last render.Roster
	err  error
}

// An AgentList is a part of the list of agents.
type AgentList struct {
	render.Roster
	Total int    `json:"total" doc:"how many agents there are"`
	Next  string `json:"next,omitempty" doc:"what to give as 'after' for those that follow; absent with the last ones"`
}

// agentList are at most limit agents after a name.
func agentList(all render.Roster, after string, limit int) AgentList {
	out := AgentList{Roster: all, Total: len(all.Agents)}
	from := sort.Search(len(all.Agents), func(i int) bool { return all.Agents[i].Name > after })
	to := min(from+limit, len(all.Agents))
	if out.Agents = all.Agents[from:to]; to < len(all.Agents) && to > from {
		out.Next = all.Agents[to-1].Name
	}
	return out
}

// errNoReports is why there is no list of agents.
var errNoReports = errors.New("the agents do not report here")

func (r *rosterCache) read(ctx context.Context, subject Subject) (render.Roster, error) {
	if subject.Roster == nil {
		return render.Roster{}, errNoReports
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of != subject.Agent || time.Since(r.at) > rosterPace {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rosterTimeout)
		defer cancel()
		r.last, r.err = subject.Roster(ctx)
		r.of, r.at = subject.Agent, time.Now()
	}
	return r.last, r.err
}
