package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
	"github.com/hapsync/hapsync/sync"
)

// A tenure is hapsync register from its start to its end.
type tenure struct {
	conf    etcd.RegistrationConfig
	gate    *gate // nil where the host counts as good
	checked bool  // the gate goes on after the start
	child   *child
	drain   time.Duration
	log     *slog.Logger

	waiter     *waiter                // nil where nobody waits for the agents
	registered chan registry.Revision // of size one: when the host is in the registry

	client *etcd.Client
}

// run registers the host until ctx ends or the command does, and takes it out again.
func (t *tenure) run(ctx context.Context) error {
	if t.child == nil {
		return t.hold(ctx)
	}
	stop := new(atomic.Value)
	defer t.passSignals(stop)()
	err := t.hold(ctx)
	select {
	case <-t.child.exited:
	default:
		s, _ := stop.Load().(os.Signal)
		if s == nil {
			s = syscall.SIGTERM
		}
		t.log.Info("the command is told to end", "signal", s.String())
		t.child.signal(s)
	}
	<-t.child.exited
	if err == nil {
		err = t.child.end()
	}
	return err
}

// passSignals passes those signals on that do not end hapsync, and notes the one that does. A second one of these kills
// the command.
func (t *tenure) passSignals(stop *atomic.Value) (end func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range signals {
			switch {
			case s != syscall.SIGTERM && s != syscall.SIGINT:
				t.child.signal(s)
			case stop.CompareAndSwap(nil, s):
			default:
				t.child.kill()
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}

// hold registers the host when it is good, and keeps it registered until ctx ends or the command does.
func (t *tenure) hold(ctx context.Context) error {
	work, cancel := t.whileItRuns(ctx)
	defer cancel()
	if t.gate != nil {
		t.waitUntilGood(work)
	}
	if work.Err() != nil {
		return nil
	}
	r, err := t.client.NewRegistration(t.conf)
	if err != nil {
		return err
	}
	watched, awaited := t.watch(work, r), t.awaitAgents(work, cancel)
	err = r.Run(work)
	cancel()
	<-watched
	notApplied := <-awaited
	var held *etcd.HeldError
	if errors.As(err, &held) {
		return &takenError{held}
	}
	t.leave(ctx, r)
	return notApplied
}

// awaitAgents waits, where that is asked for, until the agents have applied the registration, and calls end where they do
// not in time. The error comes at the latest when the context has ended.
func (t *tenure) awaitAgents(ctx context.Context, end context.CancelFunc) <-chan error {
	result := make(chan error, 1)
	go func() {
		err := t.acknowledge(ctx)
		if err != nil {
			t.log.Error("the host is taken out again: it is not in effect")
			end()
		}
		result <- err
	}()
	return result
}

// acknowledge tells systemd when the host is in the registry, and the agents have applied that. The end of the context is
// no error.
func (t *tenure) acknowledge(ctx context.Context) error {
	var at registry.Revision
	select {
	case <-ctx.Done():
		return nil
	case at = <-t.registered:
	}
	if t.waiter != nil {
		n, err := t.waiter.wait(ctx, t.client, sync.Receipt{Revision: at, Domain: strings.ToLower(t.conf.Domain), Host: t.conf.Host.Name})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		t.log.Info("applied by every agent", "agents", n, "revision", at)
	}
	notify(t.log, stateReady)
	return nil
}

// whileItRuns is a context that ends with the command, too.
func (t *tenure) whileItRuns(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if t.child != nil {
		go func() {
			select {
			case <-t.child.exited:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	return ctx, cancel
}

// waitUntilGood returns when the gate says so, or the context ends.
func (t *tenure) waitUntilGood(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.gate.watch(ctx, func(healthy bool, why error) {
		if healthy {
			cancel()
			return
		}
		t.log.Info("the host is not good yet, it is registered when it is", "check", why)
	})
}

// watch tells the registration of the host's health, until the context ends.
func (t *tenure) watch(ctx context.Context, r *etcd.Registration) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		if !t.checked {
			return
		}
		t.gate.watch(ctx, func(healthy bool, why error) {
			if healthy {
				t.log.Info("the host is good again")
				r.SetHealth(registry.Ready)
				return
			}
			t.log.Warn("the host is bad", "check", why)
			r.SetHealth(registry.Maint)
		})
	}()
	return done
}

// leave takes the host out: in peace, or at once where its command is dead.
func (t *tenure) leave(ctx context.Context, r *etcd.Registration) {
	work, cancel := t.whileItRuns(context.WithoutCancel(ctx))
	defer cancel()
	if t.child != nil {
		select {
		case <-t.child.exited:
			cancel()
		default:
		}
	}
	if err := r.Leave(work, t.drain); err != nil {
		t.log.Warn("the host leaves when its lease runs out", "error", err)
	}
}

// A takenError is a HeldError with the way out.
type takenError struct{ *etcd.HeldError }

func (e *takenError) Error() string {
	return e.HeldError.Error() + ": end that registration, give another --host, or take the name over with --replace"
}
