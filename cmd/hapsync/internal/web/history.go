package web

import (
	"errors"
	"io/fs"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/journal"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// A History is a part of the journal.
type History struct {
	Version int          `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
	Entries []sync.Entry `json:"entries" doc:"what passes did, newest first; a pass has an entry for HAProxy's process, and one for its file"`
	Next    string       `json:"next,omitempty" doc:"what to give as 'before' for those that follow; absent with the last ones"`
}

// A historyCache shares one read of the journal among all requests with the same query. It reads again after a pass has done
// something.
type historyCache struct {
	mu    stdsync.Mutex
	of    Agent
	query journal.Query
	upTo  time.Time // of the newest pass that the agent knew
	found []sync.Entry
	err   error
}

// errNoJournal is why there is no history.
var errNoJournal = errors.New("no journal is kept: --journal is off")

func (p *historyCache) read(st *state, q journal.Query) ([]sync.Entry, error) {
	if st.subject.History == nil {
		return nil, errNoJournal
	}
	var upTo time.Time
	if len(st.status.Passes) > 0 {
		upTo = st.status.Passes[0].At
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	same := p.of == st.subject.Agent && p.query == q && p.upTo.Equal(upTo)
	if same && len(p.found) > 0 && time.Since(upTo) > maxAge {
		return p.found, p.err
	}
	p.of, p.query, p.upTo = st.subject.Agent, q, upTo
	if p.found, p.err = st.subject.History(q); errors.Is(p.err, fs.ErrNotExist) {
		p.err = nil // no pass has done anything yet
	}
	return p.found, p.err
}

// shownChanges is how many changes of an entry are shown: "hapsync history REVISION" has all.
const shownChanges = 50

// history are at most limit entries that match the request.
func (r *request) history(limit int) (History, error) {
	q := journal.Query{Most: limit + 1, Domain: r.FormValue("domain")}
	if q.Domain != "" && registry.CheckDomain(q.Domain) != nil {
		return History{}, badRequest("domain: give the name of a domain")
	}
	if text := r.FormValue("since"); text != "" {
		since, err := time.ParseDuration(text)
		if err != nil || since <= 0 {
			return History{}, badRequest("since: give a time such as 1h")
		}
		q.Since = r.state.at.Add(-since).Truncate(time.Minute)
	}
	if text := r.FormValue("before"); text != "" {
		var err error
		if q.Before, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return History{}, badRequest("before: give what the last answer has as next")
		}
	}
	found, err := r.site.history.read(r.state, q)
	out := History{Version: apiVersion, Entries: []sync.Entry{}}
	for _, e := range found[:min(len(found), limit)] {
		out.Entries = append(out.Entries, e.First(shownChanges))
	}
	if len(found) > limit {
		out.Next = found[limit-1].At.Format(time.RFC3339Nano)
	}
	return out, err
}

func (r *request) historyAnswer() (any, error) {
	limit, err := r.limit()
	if err != nil {
		return nil, err
	}
	return r.history(limit)
}

func (r *request) historyPage() (view, error) {
	h, err := r.history(50)
	if err != nil {
		return view{}, err
	}
	return view{Title: "history", Here: "/history", Parts: []part{r.state.trouble(), {ID: "history", Template: "history", Data: struct {
		History
		Lines  []change
		Domain string
		After  string
	}{h, lines(h.Entries), r.FormValue("domain"), r.older(h.Next)}}}}, nil
}

// A change is a line of the history.
type change struct {
	At       time.Time
	Took     time.Duration
	Revision registry.Revision
	By       sync.Asker
	Level    Level
	// What is one line, or the line above several changes.
	What    []string
	Changes []sync.EntryChange
	More    int
}

// lines are the entries as pages show them.
func lines(entries []sync.Entry) []change {
	var out []change
	for _, e := range entries {
		c := change{
			At: e.At, Took: time.Duration(e.Seconds * float64(time.Second)), Revision: e.Revision, By: e.By, Level: LevelOK,
			What: render.OneLineEach(render.EntryTexts(e)),
		}
		if e.Cause != "" || len(e.Reload) > 0 {
			c.Level = LevelNotice
		}
		if e.Error != "" || e.Held != "" {
			c.Level = LevelTrouble
		}
		if len(e.Changes) > 1 {
			c.Changes, c.More = e.Changes, e.More
		}
		out = append(out, c)
	}
	return out
}
