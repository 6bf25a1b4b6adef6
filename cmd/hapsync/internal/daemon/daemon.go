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

// A Daemon is hapsync agent from its start to its end: one Agent after the other, and what outlives them.
type Daemon struct {
	agent   atomic.Pointer[Agent]
	build   Build
	started time.Time
	took    *prometheus.HistogramVec
	applied *prometheus.HistogramVec
	rest    *time.Timer // gives memory back; it runs once a pass has needed much, until the agent is at rest
	// rendering bounds how many statuses are rendered at the same time, readers how many wait until they are read.
	rendering chan struct{}
	readers   readers
}

// New makes a daemon that is not yet at work.
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
	s.rest.Stop() // there was no pass yet
	for _, way := range []sync.Way{sync.WayRuntime, sync.WayReload} {
		s.applied.WithLabelValues(string(way)) // it is there from the start
	}
	return s
}

// A Build is what hapsync was built from.
type Build struct{ Version, Commit, Go string }

// restAfter is how long there is no pass before the agent gives memory back to the system that the last ones needed: at 10,000 domains
// 40 MB. Go's runtime alone keeps it for the next pass over everything, a minute later.
const restAfter = 3 * time.Second

// Observe takes how long a pass took into the metrics.
func (s *Daemon) Observe(kind sync.PassKind, took time.Duration) {
	s.took.WithLabelValues(string(kind)).Observe(took.Seconds())
	if waits := s.rest.Stop(); waits || kind != sync.QuickPass {
		s.rest.Reset(restAfter)
	}
}

// Measure takes how long a change took into the metrics.
func (s *Daemon) Measure(way sync.Way, took time.Duration) {
	s.applied.WithLabelValues(string(way)).Observe(took.Seconds())
}

func (s *Daemon) status() sync.Status {
	a := s.agent.Load()
	return warned{a.Sync, a.Certs}.Status()
}
func (s *Daemon) alive() error { return s.agent.Load().Watchdog.Stuck() }

// Use makes the daemon speak for an agent.
func (s *Daemon) Use(a *Agent) { s.agent.Store(a) }

// A running agent has the server that answers for it, and a way to stop it.
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
	defer s.tellSystemd()() // until the last pass is finished
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

// reload replaces the running agent by the next one. It goes on if the settings are the same, or cannot be used.
func (s *Daemon) reload(ctx context.Context, now running, next func(*Agent) (*Agent, error)) running {
	j, err := next(now.Agent)
	if err == nil && j == nil {
		now.Log.Info("the settings are what they were, all is read again")
		now.Sync.Resync()
		return now
	}
	place := now.server
	if err == nil && (j.Listen != now.Listen || j.WebConfig != now.WebConfig) {
		place, err = s.move(now, j)
		if err != nil {
			err = errors.Join(err, j.Registry.Close())
		}
	}
	if err != nil {
		now.Log.Error("the new settings cannot be used, the old ones stay", "error", err)
		now.server = place
		now.Sync.Resync()
		return now
	}
	now.stop()
	j.inherit(now.Agent)
	s.Use(j)
	if place != now.server {
		now.server.close()
	}
	j.Log.Info("the agent runs with new settings", "listen", j.Listen.String())
	return running{j, place, j.start(ctx)}
}

// move opens the server of an agent that is to take over. One at the same address has to go first, and is opened again where that
// fails.
func (s *Daemon) move(now running, j *Agent) (*server, error) {
	if j.Listen == now.Listen {
		now.server.close()
	}
	opened, err := s.open(j)
	switch {
	case err == nil:
		return opened, nil
	case j.Listen == now.Listen:
		return listenLater(func() (*server, error) { return s.open(now.Agent) }), err
	}
	return now.server, err
}

// openOrLater waits beside the agent for an address that is taken.
func (s *Daemon) openOrLater(j *Agent) (*server, error) {
	opened, err := s.open(j)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return opened, err
	}
	j.Log.Error("the agent runs, but answers on no address until this one is free", "listen", j.Listen.String(), "error", err)
	return listenLater(func() (*server, error) { return s.open(j) }), nil
}

func (s *Daemon) open(j *Agent) (*server, error) {
	site := web.New(s.subject)
	return listenAndServe(j, s.handler(site), site.Close)
}

// subject is the agent as the page and the API have it.
func (s *Daemon) subject() web.Subject {
	a := s.agent.Load()
	subject := a.Subject
	subject.Agent = warned{a.Sync, a.Certs}
	return subject
}
