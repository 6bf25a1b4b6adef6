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
	// TTL of the leases. Drain is how long hosts stay in drain when the reconciler ends.
	TTL, Drain time.Duration
	// Replace takes over names at an address of this machine or of the container: an earlier run has left them.
	Replace bool
	// Check of the containers, without the probe.
	Check health.Check
	// Resync is the time between two passes without an event.
	Resync time.Duration
	Logger *slog.Logger
}

// A Reconciler keeps the containers of an engine registered. Each pass compares the running containers with the registered
// hosts, registers those that are missing, and takes out those without a container. Events of the engine only start a pass. It
// never touches keys that its hosts have not written.
//
// While the engine does not answer, all hosts stay: the containers may still run.
type Reconciler struct {
	conf Config
	log  *slog.Logger
	wake chan struct{} // of size one

	mu      stdsync.Mutex
	signals Signals

	// The rest belongs to Run.

	lives   map[Key]*life
	known   map[Problem]bool // the problems of the last pass
	trouble string           // the engine's last error; empty for none
}

// New returns a reconciler, which Run starts.
func New(conf Config) *Reconciler {
	return &Reconciler{conf: conf, log: conf.Logger, wake: make(chan struct{}, 1), lives: map[Key]*life{}}
}

// Run registers the containers until ctx ends. Then it drains them and takes them out; when alive ends, it takes them out at
// once.
func (r *Reconciler) Run(ctx, alive context.Context) {
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
	defer context.AfterFunc(alive, func() {
		for _, l := range r.lives {
			l.hurry()
		}
	})()
	for _, l := range r.lives {
		<-l.ended
	}
}

// notify wakes Run.
func (r *Reconciler) notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// follow wakes Run at each event, and when the stream of events begins or ends, until ctx ends.
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

// engineRetry are the pauses between two requests to an engine that does not answer.
func engineRetry() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{InitialInterval: 200 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 2 * time.Second}
}

// pass compares the hosts with the running containers.
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
	r.apply(ctx, hosts, unread)
	return nil
}

// staying are the containers that are not being stopped.
func (r *Reconciler) staying(running []Container) []Container {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signals.Forget(running)
	return slices.DeleteFunc(slices.Clone(running), r.signals.Stopping)
}

// holders are the IDs of the containers that hold the keys.
func (r *Reconciler) holders() map[Key]string {
	held := map[Key]string{}
	for key, s := range r.lives {
		if !s.leaving {
			held[key] = s.host.ID
		}
	}
	return held
}

// logNew logs problems that the last pass did not have.
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

// apply ends the lives that no host wants, then begins those that are missing. A key whose last life is still ending is begun
// later: its end wakes Run.
func (r *Reconciler) apply(ctx context.Context, hosts []Host, unread map[string]bool) {
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
			l.end(0) // the container has ended, or is ending: no time to drain
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
