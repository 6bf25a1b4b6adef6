package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/web"
	"github.com/hapsync/hapsync/sync"
)

// A Daemon is the process of hapsync agent: the present Agent, and what outlives it.
type Daemon struct {
	agent   atomic.Pointer[Agent]
	build   Build
	started time.Time
	took    *prometheus.HistogramVec
	applied *prometheus.HistogramVec
	rest    *time.Timer // returns memory to the system after a while without a pass
	// rendering limits how many statuses are rendered at a time, readers how many wait to be read.
	rendering chan struct{}
	readers   readers
}

// New makes a daemon, which Run starts.
func New(b Build) *Daemon {
	s := &Daemon{
		build:   b,
		started: time.Now(), rendering: make(chan struct{}, 4),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "hapsync_pass_duration_seconds",
			Help:    "How long passes took: quick ones over some servers in the process, those of the file, and whole ones.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9), // 1 ms to 65 s
		}, []string{"kind"}),
		applied: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "hapsync_apply_seconds",
			Help: "How long a change of a domain took from when etcd's watch told of it until HAProxy's process had it and that was read back; " +
				"the wait for the second key of a host is in it, a health check, the drain of a removed server, and what a listing found are not.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"way"}),
	}
	s.rest = time.AfterFunc(restAfter, debug.FreeOSMemory)
	s.rest.Stop() // no pass yet
	for _, way := range []sync.Way{sync.WayRuntime, sync.WayReload} {
		s.applied.WithLabelValues(string(way)) // the metric exists from the start
	}
	return s
}

// A Build is what hapsync was built from.
type Build struct{ Version, Commit, Go string }

// restAfter is the time without a pass after which the agent returns memory to the system: 40 MB at 10,000 domains. Otherwise
// Go's runtime keeps it for the next whole pass, a minute later.
const restAfter = 3 * time.Second

// Observe adds the time of a pass to the metrics.
func (s *Daemon) Observe(kind sync.PassKind, took time.Duration) {
	s.took.WithLabelValues(string(kind)).Observe(took.Seconds())
	if waits := s.rest.Stop(); waits || kind != sync.QuickPass {
		s.rest.Reset(restAfter)
	}
}

// Measure adds the time of a change to the metrics.
func (s *Daemon) Measure(way sync.Way, took time.Duration) {
	s.applied.WithLabelValues(string(way)).Observe(took.Seconds())
}

func (s *Daemon) status() sync.Status {
	a := s.agent.Load()
	return warned{a.Sync, a.Certs}.Status()
}
func (s *Daemon) alive() error { return s.agent.Load().Watchdog.Stuck() }

// Use replaces the agent that the daemon reports about.
func (s *Daemon) Use(a *Agent) { s.agent.Store(a) }

// A running agent has a server that answers for it, and a way to stop it.
type running struct {
	*Agent
	server *server
	stop   func()
}

// Run runs the agent until ctx ends, which is no error. At each SIGHUP next returns the agent that takes over; nil for none.
func (s *Daemon) Run(ctx context.Context, first *Agent, hangups <-chan os.Signal, next func(*Agent) (*Agent, error)) error {
	s.Use(first)
	server, err := s.openOrLater(first)
	if err != nil {
		return errors.Join(err, first.Registry.Close())
	}
	defer s.notifySystemd()() // until the last pass has ended
	now := running{first, server, first.start(ctx)}
	defer func() {
		now.stop()
		now.server.close()
	}()
	now.Log.Info("the agent runs", "listen", now.Listen.String(), "version", s.build.Version)
	Notify(now.Log, Ready)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-hangups:
			Notify(now.Log, stateReloading())
			now = s.reload(ctx, now, next)
			Notify(now.Log, Ready)
		case err := <-now.ended:
			if ctx.Err() == nil {
				return fmt.Errorf("the agent ended without a signal: %w", err)
			}
		case err := <-now.server.failed:
			return fmt.Errorf("answer on %s: %w", now.Listen, err)
		}
	}
	Notify(now.Log, stateStopping)
	now.Log.Info("the agent ends, HAProxy stays as it is")
	return nil
}

// reload replaces the running agent by the next one. The present one goes on if the settings are the same, or are bad.
func (s *Daemon) reload(ctx context.Context, now running, next func(*Agent) (*Agent, error)) running {
	a, err := next(now.Agent)
	if err == nil && a == nil {
		now.Log.Info("the settings are what they were, all is read again")
		now.Sync.Resync()
		return now
	}
	place := now.server
	if err == nil && (a.Listen != now.Listen || a.WebConfig != now.WebConfig) {
		place, err = s.move(now, a)
		if err != nil {
			err = errors.Join(err, a.Registry.Close())
		}
	}
	if err != nil {
		now.Log.Error("the new settings cannot be used, the old ones stay", "error", err)
		now.server = place
		now.Sync.Resync()
		return now
	}
	now.stop()
	a.inherit(now.Agent)
	s.Use(a)
	if place != now.server {
		now.server.close()
	}
	a.Log.Info("the agent runs with new settings", "listen", a.Listen.String())
	return running{a, place, a.start(ctx)}
}

// move opens the server of the next agent. If the address is the same, it closes the present server first, and opens it again
// if that fails.
func (s *Daemon) move(now running, a *Agent) (*server, error) {
	if a.Listen == now.Listen {
		now.server.close()
	}
	opened, err := s.open(a)
	switch {
	case err == nil:
		return opened, nil
	case a.Listen == now.Listen:
		return listenLater(func() (*server, error) { return s.open(now.Agent) }), err
	}
	return now.server, err
}

// openOrLater retries in the background if the address is taken.
func (s *Daemon) openOrLater(a *Agent) (*server, error) {
	opened, err := s.open(a)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return opened, err
	}
	a.Log.Error("the agent runs, but answers on no address until this one is free", "listen", a.Listen.String(), "error", err)
	return listenLater(func() (*server, error) { return s.open(a) }), nil
}

func (s *Daemon) open(a *Agent) (*server, error) {
	site := web.New(s.subject)
	return listenAndServe(a, s.handler(site), site.Close)
}

// subject is what the page and the API show.
func (s *Daemon) subject() web.Subject {
	a := s.agent.Load()
	subject := a.Subject
	subject.Agent = warned{a.Sync, a.Certs}
	return subject
}
