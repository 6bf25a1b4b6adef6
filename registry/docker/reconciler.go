package docker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	stdsync "sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/hapsync/hapsync/registry/etcd"
	"github.com/hapsync/hapsync/registry/health"
)

// A Config says which containers to register, and how.
type Config struct {
	Engine   *Engine
	Client   *etcd.Client
	Settings Settings
	// TTL of the leases; Drain is how long hosts stay in drain when the reconciler ends.
	TTL, Drain time.Duration
	// Replace takes names over that have an address of this machine, or of the container: what an earlier run has left.
	Replace bool
	// Check has all of the containers' checks but the probe.
	Check health.Check
	// Resync is how often the containers are compared though nothing is known to have changed.
	Resync time.Duration
	Logger *slog.Logger
}

// A Reconciler keeps the containers of an engine registered. Each pass compares the containers that run with the hosts that
// it has registered, begins those that are missing and ends those that have no container any more. Events of the engine only
// wake it. It knows nothing of keys that none of its hosts has written, and touches none.
//
// While the engine does not answer, all stays as it was: the containers may go on without it.
type Reconciler struct {
	conf Config
	log  *slog.Logger
	wake chan struct{} // of size one

	mu      stdsync.Mutex
	signals Signals

	// What follows belongs to Run.

	lives   map[Key]*life
	known   map[Problem]bool // the problems of the last pass
	trouble string           // of the last pass with the engine; empty for none
}

// New returns a reconciler that Run starts.
func New(conf Config) *Reconciler {
	return &Reconciler{conf: conf, log: conf.Logger, wake: make(chan struct{}, 1), lives: map[Key]*life{}}
}

// Run registers the containers until ctx ends, and takes them out.
func (r *Reconciler) Run(ctx context.Context) {
	following := make(chan struct{})
	go func() {
		defer close(following)
		r.follow(ctx)
	}()
	retry, timer := engineRetry(), time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-r.wake:
		case <-timer.C:
		}
		if err := r.pass(ctx); err != nil {
			timer.Reset(retry.NextBackOff())
			continue
		}
		retry.Reset()
		timer.Reset(r.conf.Resync)
	}
	<-following
	for _, l := range r.lives {
		l.end(r.conf.Drain)
	}
	for _, l := range r.lives {
		<-l.ended
	}
}

// notify wakes the reconciler.
func (r *Reconciler) notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// follow wakes the reconciler at each event, and each time that the stream of events has begun or ended, until ctx ends.
func (r *Reconciler) follow(ctx context.Context) {
	again, told := engineRetry(), ""
	for ctx.Err() == nil {
		began := time.Now()
		err := r.conf.Engine.Follow(ctx, r.notify, func(e Event) {
			r.mu.Lock()
			r.signals.Note(e)
			r.mu.Unlock()
			r.notify()
		})
		r.mu.Lock()
		r.signals.Gap()
		r.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return
		case time.Since(began) > again.MaxInterval:
			again.Reset()
			told = ""
		case errors.Is(err, ErrEvents) && told != err.Error():
			told = err.Error()
			r.log.Warn("the events of the Docker engine cannot be followed: its containers are listed from time to time instead", "error", err)
		}
		r.notify()
		timer := time.NewTimer(again.NextBackOff())
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// engineRetry are the pauses after which an engine is asked again that has not answered.
func engineRetry() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{InitialInterval: 200 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 2 * time.Second}
}

// pass brings the lives in line with the containers that run.
func (r *Reconciler) pass(ctx context.Context) error {
	running, err := r.conf.Engine.Containers(ctx, r.conf.Settings.Label())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		if r.trouble != err.Error() {
			r.trouble = err.Error()
			r.log.Warn("the Docker engine does not answer: what is registered stays", "engine", r.conf.Engine.Host(), "error", err)
		}
		return err
	}
	if r.trouble != "" {
		r.trouble = ""
		r.log.Info("the Docker engine answers again")
	}
	unread := map[string]bool{}
	for _, c := range running {
		unread[c.ID] = c.Unread != nil
	}
	hosts, problems := r.conf.Settings.Hosts(r.staying(running), r.holders())
	r.logNew(problems)
	r.bring(ctx, hosts, unread)
	return nil
}

// staying are the containers that were not told to end.
func (r *Reconciler) staying(running []Container) []Container {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signals.Forget(running)
	return slices.DeleteFunc(slices.Clone(running), r.signals.Stopping)
}

// holders are the IDs of the containers that have the keys.
func (r *Reconciler) holders() map[Key]string {
	held := map[Key]string{}
	for key, s := range r.lives {
		if !s.leaving {
			held[key] = s.host.ID
		}
	}
	return held
}

// logNew logs the problems that the pass before did not have.
func (r *Reconciler) logNew(problems []Problem) {
	now := map[Problem]bool{}
	for _, p := range problems {
		now[p] = true
		if !r.known[p] {
			r.log.Warn("something is wrong with a container", "container", p.Container, "label", p.Label, "reason", p.Reason)
		}
	}
	r.known = now
}

// bring ends the lives that no host wants, then begins those that are missing. Where the one before has not ended yet, its
// end wakes the reconciler.
func (r *Reconciler) bring(ctx context.Context, hosts []Host, unread map[string]bool) {
	want := map[Key]Host{}
	for _, host := range hosts {
		want[host.Key()] = host
	}
	for _, key := range slices.SortedFunc(maps.Keys(r.lives), Key.Compare) {
		l := r.lives[key]
		if l.hasEnded() {
			delete(r.lives, key)
			continue
		}
		if host, wanted := want[key]; !unread[l.host.ID] && (!wanted || !l.is(host)) {
			l.end(0) // it has ended, or is about to: there is no time to drain it
		}
	}
	for _, host := range hosts {
		if l, there := r.lives[host.Key()]; there {
			l.registrar.SetState(host.State)
			continue
		}
		l, err := r.begin(ctx, host)
		if err != nil {
			r.log.Error("a container cannot be registered", "container", host.Container, "error", err)
			continue
		}
		r.lives[host.Key()] = l
	}
}
