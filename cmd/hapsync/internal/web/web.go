package web

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/journal"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// An Agent is the agent to show: a sync.Agent or a sync.Shadow.
type Agent interface {
	Status() sync.Status
	Registry() registry.Snapshot
	Changed() <-chan struct{}
	Servers(ctx context.Context, domains ...string) ([]haproxy.ServerStatus, error)
	Explain(domain string, servers []haproxy.ServerStatus, down error) sync.Explanation
}

// A Subject is the agent and some of its settings.
type Subject struct {
	Agent
	// Name of the agent in its reports; Hapsync is its version.
	Name, Hapsync string
	Endpoints     []string
	// DrainTimeout is how long a removed server may take to finish its sessions.
	DrainTimeout time.Duration
	// Confirm is the command that confirms a held pass.
	Confirm string
	// History reads the journal; nil if none is kept.
	History func(journal.Query) ([]sync.Entry, error)
	// Keys reads the keys of a domain in etcd, with their leases; nil if they are not shown.
	Keys func(ctx context.Context, domain string) ([]registry.Key, error)
	// Roster reads the reports of all agents; nil if the agent does not report.
	Roster func(ctx context.Context) (render.Roster, error)
}

// A Site answers for an agent.
type Site struct {
	subject func() Subject
	pages   pages
	reads   stateCache
	servers serverCache
	reloads reloadCache
	leases  leaseCache
	roster  rosterCache
	history historyCache
	// rendering limits how many answers are rendered at a time, streams how many pages are kept up to date.
	rendering chan struct{}
	streams   atomic.Int32
	closing   chan struct{}
}

const (
	maxRendering = 4
	maxStreams   = 64
)

// New makes a site. subject returns the present agent, which changes with the settings.
func New(subject func() Subject) *Site {
	return &Site{subject: subject, pages: parsePages(), rendering: make(chan struct{}, maxRendering), closing: make(chan struct{})}
}

// Close ends the streams of events. It is called once.
func (s *Site) Close() { close(s.closing) }

// Mount adds the site's paths.
func (s *Site) Mount(mux *http.ServeMux) {
	for pattern, data := range map[string]func(*request) (any, error){
		"status":           func(r *request) (any, error) { return r.state.overview(), nil },
		"domains":          (*request).domainsPage,
		"domains/{domain}": (*request).domain,
		"plan":             (*request).plan,
		"history":          (*request).historyAnswer,
		"agents":           (*request).agents,
	} {
		mux.HandleFunc("GET /api/v1/"+pattern, s.json(data))
	}
	mux.HandleFunc("GET /api/", s.json(func(*request) (any, error) {
		return nil, notFound("no such path: the API has status, domains, domains/DOMAIN, plan, history and agents below /api/v1/")
	}))
	for pattern, p := range map[string]page{
		"/{$}":                     {"overview", (*request).overviewPage},
		"/domains":                 {"domains", (*request).listPage},
		"/domains/{domain}":        {"domain", (*request).domainPage},
		"/explain/{domain}":        {"domain", (*request).domainPage},
		"/explain/{domain}/{host}": {"explain", (*request).explainPage},
		"/plan":                    {"plan", (*request).planPage},
		"/history":                 {"history", (*request).historyPage},
		"/agents":                  {"agents", (*request).agentsPage},
	} {
		mux.HandleFunc("GET "+pattern, s.html(p))
	}
	mux.Handle("GET /assets/", assets())
}
