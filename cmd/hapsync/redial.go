package main

import (
	"context"
	"errors"
	stdsync "sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
)

// A redial is a registry that may be away at the start: a user's login takes an etcd that answers.
type redial struct {
	dial   func(context.Context) (source, error)
	failed error // why there is no source at the start

	mu     stdsync.Mutex
	source source        // nil until there is one
	there  chan struct{} // closed when there is one
}

func newRedial(dial func(context.Context) (source, error), now source, failed error) *redial {
	r := &redial{dial: dial, failed: failed, there: make(chan struct{})}
	if now != nil {
		r.become(now)
	}
	return r
}

func (r *redial) become(now source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.source = now
	close(r.there)
}

// Announce announces what the reports say once there is a registry.
func (r *redial) Announce(ctx context.Context, conf etcd.AnnounceConfig, reports <-chan registry.AgentReport) {
	select {
	case <-ctx.Done():
	case <-r.there:
		r.now().Announce(ctx, conf, reports)
	}
}

// Follow implements sync.Follower.
func (r *redial) Follow(ctx context.Context, update func(registry.Update), lost func(error)) error {
	if err := r.connect(ctx, lost); err != nil {
		return err
	}
	return r.now().Follow(ctx, update, lost)
}

// connect dials until that succeeds; why it did not is told once, and again when that changes.
func (r *redial) connect(ctx context.Context, lost func(error)) error {
	if r.now() != nil {
		return nil
	}
	return keepDialling(ctx, r.failed, r.try, lost)
}

// keepDialling calls dial after it has failed, with pauses, until it succeeds. It calls lost as Follow does.
func keepDialling(ctx context.Context, failed error, dial func(context.Context) error, lost func(error)) error {
	wait := backoff.NewExponentialBackOff()
	wait.MaxInterval = 30 * time.Second
	for why, err := "", failed; err != nil; {
		if err.Error() != why {
			why = err.Error()
			lost(err)
		}
		timer := time.NewTimer(wait.NextBackOff())
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		err = dial(ctx)
	}
	lost(nil)
	return nil
}

func (r *redial) try(ctx context.Context) error {
	source, err := r.dial(ctx)
	if err != nil {
		return err
	}
	r.become(source)
	return nil
}

func (r *redial) now() source {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.source
}

// Relist implements sync.Follower.
func (r *redial) Relist() {
	if source := r.now(); source != nil {
		source.Relist()
	}
}

func (r *redial) close() error {
	source := r.now()
	if source == nil {
		return nil
	}
	if err := source.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
