package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hapsync/hapsync/sync"
)

// A service is hapsync agent from its start to its end: one job after the other, and what outlives them.
type service struct {
	job     atomic.Pointer[job]
	started time.Time
	took    *prometheus.HistogramVec
}

func newService() *service {
	return &service{
		started: time.Now(),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "hapsync_pass_duration_seconds",
			Help:    "How long passes took: quick ones over some servers in the process, those of the file, and whole ones.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9), // 1 ms to 65 s
		}, []string{"kind"}),
	}
}

func (s *service) observe(kind sync.PassKind, took time.Duration) {
	s.took.WithLabelValues(string(kind)).Observe(took.Seconds())
}

func (s *service) status() sync.Status { return s.job.Load().agent.Status() }
func (s *service) alive() error        { return s.job.Load().pulse.stuck() }

// A shift is a job at work, and the address where it is seen.
type shift struct {
	*job
	site *site
	stop func()
}

// run runs the job until ctx ends, which is no error. At each hangup, next says which job takes over; nil for none.
func (s *service) run(ctx context.Context, first *job, hangups <-chan os.Signal, next func(*job) (*job, error)) error {
	s.job.Store(first)
	site, err := s.open(first)
	if err != nil {
		return errors.Join(err, first.registry.Close())
	}
	defer s.tellSystemd()() // until the last pass is finished
	now := shift{first, site, first.start(ctx)}
	defer func() {
		now.stop()
		now.site.close()
	}()
	now.log.Info("the agent runs", "listen", now.listen.String(), "version", thisBuild().Version)
	notify(now.log, stateReady)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-hangups:
			notify(now.log, stateReloading())
			now = s.reload(ctx, now, next)
			notify(now.log, stateReady)
		case err := <-now.ended:
			if ctx.Err() == nil {
				return fmt.Errorf("the agent ended by itself: %w", err)
			}
		case err := <-now.site.failed:
			return fmt.Errorf("answer on %s: %w", now.listen, err)
		}
	}
	notify(now.log, stateStopping)
	now.log.Info("the agent ends, HAProxy stays as it is")
	return nil
}

// reload puts the next job in the place of the one at work, which goes on where the settings are the same, or cannot be
// used.
func (s *service) reload(ctx context.Context, now shift, next func(*job) (*job, error)) shift {
	j, err := next(now.job)
	if err == nil && j == nil {
		now.log.Info("the settings are what they were, all is read again")
		now.agent.Resync()
		return now
	}
	place := now.site
	if err == nil && j.listen != now.listen {
		place, err = s.open(j)
		if err != nil {
			err = errors.Join(err, j.registry.Close())
		}
	}
	if err != nil {
		now.log.Error("the new settings cannot be used, the old ones stay", "error", err)
		now.agent.Resync()
		return now
	}
	now.stop()
	j.agent.Inherit(now.agent)
	s.job.Store(j)
	if place != now.site {
		now.site.close()
	}
	j.log.Info("the agent runs with new settings", "listen", j.listen.String())
	return shift{j, place, j.start(ctx)}
}

func (s *service) open(j *job) (*site, error) { return openSite(j.listen, s.handler(), j.log) }
