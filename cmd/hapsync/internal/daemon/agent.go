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
func (j *Agent) inherit(from *Agent) {
	switch next := j.Sync.(type) {
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
func (j *Agent) start(ctx context.Context) (stop func()) {
	j.ended = make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		j.ended <- j.Sync.Run(ctx)
		close(j.ended)
	}()
	if j.Journal != nil {
		go j.Journal.Run()
	}
	var reporting stdsync.WaitGroup
	if j.Certs != nil {
		reporting.Go(func() { j.Certs.Run(ctx) })
	}
	if agent, ok := j.Sync.(*sync.Agent); ok && j.Announce != nil {
		reports := make(chan registry.AgentReport)
		reporting.Go(func() { agent.Report(ctx, j.Version, reports) })
		reporting.Go(func() { j.Registry.Announce(ctx, *j.Announce, reports) })
	}
	return func() {
		cancel()
		for range j.ended {
		}
		reporting.Wait()
		if j.Journal != nil {
			j.Journal.Close()
		}
		if err := j.Registry.Close(); err != nil {
			j.Log.Warn("hang up on etcd", "error", err)
		}
	}
}
