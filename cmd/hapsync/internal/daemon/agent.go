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

// A Registry is etcd as an agent has it beside sync.Agent.
type Registry interface {
	Announce(ctx context.Context, conf etcd.AnnounceConfig, reports <-chan registry.AgentReport)
	Close() error
}

// A Follower follows the registry: a sync.Agent, which keeps HAProxy in line, or a sync.Shadow, which only looks.
type Follower interface {
	web.Agent
	// Run runs it until ctx ends, whose error it returns.
	Run(ctx context.Context) error
	// Resync makes it read and compare everything now.
	Resync()
}

// An Agent is a Follower with what it works on: all that depends on the settings. A SIGHUP puts another in its place.
type Agent struct {
	Sync     Follower
	Registry Registry
	Watchdog *Watchdog
	Journal  *journal.Writer      // nil where none is kept
	Certs    *Certs               // nil where none are watched
	Announce *etcd.AnnounceConfig // nil where the agent does not report
	Listen   Address
	// WebConfig is a file of exporter-toolkit's, with TLS and passwords for who asks; empty for none.
	WebConfig string
	// Subject is what the page and the API have of the settings.
	Subject  web.Subject
	Log      *slog.Logger
	Settings string // what the settings are, the files that they name included
	Version  string // of hapsync, for the reports
	ended    chan error
}

// inherit takes over what another agent of its kind has learnt.
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

// start makes the agent run until stop is called, which waits for the pass that is under way.
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
