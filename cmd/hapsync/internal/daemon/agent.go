package daemon

import (
	"context"
	"log/slog"
	stdsync "sync"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/journal"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/web"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
	"github.com/hapsync/hapsync/sync"
)

// A Registry is etcd, apart from what sync.Agent needs.
type Registry interface {
	Announce(ctx context.Context, conf etcd.AnnounceConfig, reports <-chan registry.AgentReport)
	Close() error
}

// A Follower follows the registry: a sync.Agent, which keeps HAProxy in line, or a sync.Shadow, which only looks.
type Follower interface {
	web.Agent
	// Run runs until ctx ends, and returns its error.
	Run(ctx context.Context) error
	// Resync makes it read and compare everything now.
	Resync()
}

// An Agent is everything that depends on the settings. A SIGHUP replaces it.
type Agent struct {
	Sync     Follower
	Registry Registry
	Watchdog *Watchdog
	Journal  *journal.Writer      // nil if none is kept
	Certs    *Certs               // nil if none are watched
	Announce *etcd.AnnounceConfig // nil if the agent does not report
	Listen   Address
	// WebConfig is a file of exporter-toolkit, with TLS and passwords for HTTP clients; empty for none.
	WebConfig string
	// Subject is the part of the settings that the page and the API show.
	Subject  web.Subject
	Log      *slog.Logger
	Settings string // identifies the settings, and the files that they name
	Version  string // of hapsync, for the reports
	ended    chan error
}

// inherit takes over what another Follower of its kind has learned.
func (a *Agent) inherit(from *Agent) {
	switch next := a.Sync.(type) {
	case *sync.Agent:
		if was, ok := from.Sync.(*sync.Agent); ok {
			next.Inherit(was)
		}
	case *sync.Shadow:
		if was, ok := from.Sync.(*sync.Shadow); ok {
			next.Inherit(was)
		}
	}
}

// start runs the agent until stop is called. stop waits for the present pass.
func (a *Agent) start(ctx context.Context) (stop func()) {
	a.ended = make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		a.ended <- a.Sync.Run(ctx)
		close(a.ended)
	}()
	if a.Journal != nil {
		go a.Journal.Run()
	}
	var reporting stdsync.WaitGroup
	if a.Certs != nil {
		reporting.Go(func() { a.Certs.Run(ctx) })
	}
	if agent, ok := a.Sync.(*sync.Agent); ok && a.Announce != nil {
		reports := make(chan registry.AgentReport)
		reporting.Go(func() { agent.Report(ctx, a.Version, reports) })
		conf := *a.Announce
		conf.Failed = agent.NoteReporting
		reporting.Go(func() { a.Registry.Announce(ctx, conf, reports) })
	}
	return func() {
		cancel()
		for range a.ended {
		}
		reporting.Wait()
		if a.Journal != nil {
			a.Journal.Close()
		}
		if err := a.Registry.Close(); err != nil {
			a.Log.Warn("hang up on etcd", "error", err)
		}
	}
}
