package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	stdsync "sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/containers"
	"github.com/hapsync/hapsync/registry/etcd"
)

// A dock keeps the containers of an engine registered. Each pass compares the containers that run with the stays that
// there are, begins those that are missing and ends those that have no container any more. Events of the engine only
// wake it. It knows nothing of keys that none of its stays has written, and touches none.
//
// While the engine does not answer, all stays as it was: the containers may go on without it.
type dock struct {
	engine   *containers.Engine
	settings containers.Settings
	client   *etcd.Client
	conf     stayConfig
	resync   time.Duration
	log      *slog.Logger
	wake     chan struct{} // of size one

	mu      stdsync.Mutex
	signals containers.Signals

	// What follows belongs to run.

	stays   map[containers.Key]*stay
	told    map[containers.Problem]bool // the problems of the last pass
	trouble string                      // of the last pass with the engine; empty for none
}

// run registers the containers until ctx ends, and takes them out.
func (d *dock) run(ctx context.Context) {
	d.stays = map[containers.Key]*stay{}
	following := make(chan struct{})
	go func() {
		defer close(following)
		d.follow(ctx)
	}()
	retry, timer := engineRetry(), time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-d.wake:
		case <-timer.C:
		}
		if err := d.pass(ctx); err != nil {
			timer.Reset(retry.NextBackOff())
			continue
		}
		retry.Reset()
		timer.Reset(d.resync)
	}
	<-following
	for _, s := range d.stays {
		s.end(d.conf.drain)
	}
	for _, s := range d.stays {
		<-s.ended
	}
}

// notify wakes the dock.
func (d *dock) notify() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// follow wakes the dock at each event, and each time that the stream of events has begun or ended, until ctx ends.
func (d *dock) follow(ctx context.Context) {
	again, told := engineRetry(), ""
	for ctx.Err() == nil {
		began := time.Now()
		err := d.engine.Follow(ctx, d.notify, func(e containers.Event) {
			d.mu.Lock()
			d.signals.Note(e)
			d.mu.Unlock()
			d.notify()
		})
		d.mu.Lock()
		d.signals.Gap()
		d.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return
		case time.Since(began) > again.MaxInterval:
			again.Reset()
			told = ""
		case errors.Is(err, containers.ErrEvents) && told != err.Error():
			told = err.Error()
			d.log.Warn("the events of the Docker engine cannot be followed: its containers are listed from time to time instead", "error", err)
		}
		d.notify()
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

// pass brings the stays in line with the containers.
func (d *dock) pass(ctx context.Context) error {
	running, err := d.engine.Containers(ctx, d.settings.Label())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		if d.trouble != err.Error() {
			d.trouble = err.Error()
			d.log.Warn("the Docker engine does not answer: what is registered stays", "engine", d.engine.Host(), "error", err)
		}
		return err
	}
	if d.trouble != "" {
		d.trouble = ""
		d.log.Info("the Docker engine answers again")
	}
	unread := map[string]bool{}
	for _, c := range running {
		unread[c.ID] = c.Unread != nil
	}
	hosts, problems := d.settings.Hosts(d.staying(running), d.holders())
	d.tell(problems)
	d.bring(ctx, hosts, unread)
	return nil
}

// staying are the containers that were not told to end.
func (d *dock) staying(running []containers.Container) []containers.Container {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.signals.Forget(running)
	return slices.DeleteFunc(slices.Clone(running), d.signals.Stopping)
}

// holders are the IDs of the containers that have the keys.
func (d *dock) holders() map[containers.Key]string {
	held := map[containers.Key]string{}
	for key, s := range d.stays {
		if !s.leaving {
			held[key] = s.host.ID
		}
	}
	return held
}

// tell logs the problems that the pass before did not have.
func (d *dock) tell(problems []containers.Problem) {
	told := map[containers.Problem]bool{}
	for _, p := range problems {
		told[p] = true
		if !d.told[p] {
			d.log.Warn("something is wrong with a container", "container", p.Container, "label", p.Label, "reason", p.Reason)
		}
	}
	d.told = told
}

// bring ends the stays that no host wants, then begins those that are missing. Where the one before has not ended yet, its
// end wakes the dock.
func (d *dock) bring(ctx context.Context, hosts []containers.Host, unread map[string]bool) {
	want := map[containers.Key]containers.Host{}
	for _, host := range hosts {
		want[host.Key()] = host
	}
	for _, key := range slices.SortedFunc(maps.Keys(d.stays), containers.Key.Compare) {
		s := d.stays[key]
		if s.hasEnded() {
			delete(d.stays, key)
			continue
		}
		if host, wanted := want[key]; !unread[s.host.ID] && (!wanted || !s.is(host)) {
			s.end(0) // it has ended, or is about to: nobody waits for it to drain
		}
	}
	for _, host := range hosts {
		if s, there := d.stays[host.Key()]; there {
			s.setState(host.State)
			continue
		}
		s, err := d.begin(ctx, host)
		if err != nil {
			d.log.Error("a container cannot be registered", "container", host.Container, "error", err)
			continue
		}
		d.stays[host.Key()] = s
	}
}
