package main

import (
	"context"
	"errors"
	"log/slog"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/containers"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
)

// A stayConfig is what all stays have in common.
type stayConfig struct {
	ttl, drain time.Duration
	replace    bool
	gate       gate // but for the probe
}

// A stay is the time that a container has in the registry under one name, from its being wanted to the end of its lease.
type stay struct {
	host  containers.Host
	conf  stayConfig
	log   *slog.Logger
	ended chan struct{} // closed at the end

	mu           stdsync.Mutex
	state        registry.HostState // as the engine has it
	bad          bool               // by the container's check
	registration *etcd.Registration // nil until there is one

	leaving bool          // belongs to the dock
	drain   time.Duration // set before cancel
	cancel  context.CancelFunc
}

// begin registers a host until the stay is ended. The end of ctx does not end it.
func (d *dock) begin(ctx context.Context, host containers.Host) (*stay, error) {
	s := &stay{
		host: host, conf: d.conf, state: host.State, ended: make(chan struct{}),
		log: d.log.With("container", host.Container),
	}
	if _, err := s.register(d.client); err != nil {
		return nil, err
	}
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer d.notify()
		defer close(s.ended)
		s.run(ctx, d.client)
	}()
	return s, nil
}

// end takes the host out, which takes its time: ended says when it has. The first call counts.
func (s *stay) end(drain time.Duration) {
	if !s.leaving {
		s.leaving, s.drain = true, drain
		s.cancel()
	}
}

func (s *stay) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// is reports whether the stay is that of the host, whose state may have changed.
func (s *stay) is(host containers.Host) bool {
	host.State = s.host.State
	return host == s.host
}

// setState takes note of what the engine says.
func (s *stay) setState(state registry.HostState) {
	s.change(func() { s.state = state })
}

// change tells the registration where a change has changed the health.
func (s *stay) change(change func()) {
	s.mu.Lock()
	before := s.health()
	change()
	now, registration := s.health(), s.registration
	s.mu.Unlock()
	if now != before && registration != nil {
		registration.SetHealth(now)
	}
}

// health is to be called with the lock held.
func (s *stay) health() registry.HostState {
	if s.bad {
		return registry.Maint
	}
	return s.state
}

// register makes a registration with the health that there is.
func (s *stay) register(client *etcd.Client) (*etcd.Registration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	host := s.host.Host
	host.State = s.health()
	r, err := client.NewRegistration(etcd.RegistrationConfig{
		Domain: s.host.Domain, Host: host, TTL: s.conf.ttl, Replace: s.conf.replace, Logger: s.log,
	})
	s.registration = r
	return r, err
}

// run registers the host when its check is good, and takes it out when ctx ends.
func (s *stay) run(ctx context.Context, client *etcd.Client) {
	checked := make(chan struct{})
	defer func() { <-checked }()
	good := make(chan struct{})
	go func() {
		defer close(checked)
		s.check(ctx, good)
	}()
	select {
	case <-ctx.Done():
		return
	case <-good:
	}
	for told := ""; ctx.Err() == nil; {
		r, err := s.register(client)
		if err != nil {
			s.log.Error("the container cannot be registered", "error", err)
			return
		}
		err = r.Run(ctx)
		var held *etcd.HeldError
		if !errors.As(err, &held) {
			s.leave(ctx, r)
			return
		}
		held.Left = 0 // else it is news each time
		if told != held.Error() {
			told = held.Error()
			s.log.Warn("the name is another's: the container is out until it is free", "error", &takenError{held})
		}
		s.pause(ctx)
	}
}

// freeAgain is how often a name that another has is asked for.
const freeAgain = time.Second

func (s *stay) pause(ctx context.Context) {
	timer := time.NewTimer(freeAgain)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// check closes good when the container's check is, and goes on with it until ctx ends.
func (s *stay) check(ctx context.Context, good chan struct{}) {
	gate := s.conf.gate
	if gate.probe = checkOf(s.host); gate.probe == nil {
		close(good)
		return
	}
	first := stdsync.OnceFunc(func() { close(good) })
	gate.watch(ctx, func(healthy bool, why error) {
		s.change(func() { s.bad = !healthy })
		if healthy {
			s.log.Info("the container's check is good")
			first()
			return
		}
		s.log.Info("the container's check is bad", "check", why)
	})
}

// leave takes the host out in peace.
func (s *stay) leave(ctx context.Context, r *etcd.Registration) {
	if err := r.Leave(context.WithoutCancel(ctx), s.drain); err != nil {
		s.log.Warn("the host leaves when its lease runs out", "error", err)
	}
}
