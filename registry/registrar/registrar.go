// Package registrar runs the life of a registered host, from its first good check to the end of its lease. The host can come
// from a command line, a wrapped command or a container.
package registrar

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
	"github.com/hapsync/hapsync/registry/health"
)

// A Config says which host to register, and when.
type Config struct {
	Client *etcd.Client
	Domain string
	// Host is registered with its State until SetState says otherwise.
	Host registry.Host
	// TTL of the lease. Drain is how long the host stays in drain before it leaves.
	TTL, Drain time.Duration
	// If the name is taken at the start: Replace takes it over, with ReplaceAt only from a host with one of these addresses.
	// Patient waits until it is free. Without both it is an error.
	Replace, Patient bool
	ReplaceAt        []netip.Addr
	// Check keeps the host out until the check is good, and in maintenance while it is bad; nil for none. Run owns it.
	Check *health.Check
	// UntilGood ends the check after its first good result.
	UntilGood bool
	// Confirm is called once, when the host is in the registry; nil for none. If it returns an error, Run takes the host out
	// again and returns the error. Its context ends when the host leaves.
	Confirm func(ctx context.Context, at registry.Revision) error
	// Logger may not be nil.
	Logger *slog.Logger
}

// A Registrar keeps one host registered.
type Registrar struct {
	conf         Config
	log          *slog.Logger
	registration *etcd.Registration
	registered   chan registry.Revision // of size one

	refusedTimeout time.Duration // the constant, except in tests

	mu    stdsync.Mutex
	state registry.HostState // by SetState
	bad   bool               // the check says so
	drain time.Duration
}

// New checks the configuration. It writes nothing: Run does.
func New(conf Config) (*Registrar, error) {
	r := &Registrar{conf: conf, log: conf.Logger, state: conf.Host.State, drain: conf.Drain,
		registered: make(chan registry.Revision, 1), refusedTimeout: refusedTimeout}
	if r.state == "" {
		r.state = registry.Ready
	}
	var err error
	r.registration, err = conf.Client.NewRegistration(etcd.RegistrationConfig{
		Domain: conf.Domain, Host: conf.Host, TTL: conf.TTL, Replace: conf.Replace, ReplaceAt: conf.ReplaceAt, Patient: conf.Patient, Logger: conf.Logger,
		Registered: func(at registry.Revision) { r.registered <- at },
	})
	return r, err
}

// SetState sets the state of the host while its check is good: Ready or Maint. Any goroutine may call it, at any time.
func (r *Registrar) SetState(state registry.HostState) {
	r.change(func() { r.state = state })
}

// SetDrain sets how long the host stays in drain when it leaves.
func (r *Registrar) SetDrain(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drain = d
}

func (r *Registrar) drainTime() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.drain
}

func (r *Registrar) setBad(bad bool) {
	r.change(func() { r.bad = bad })
}

// change calls change, and tells the registration if the health is now another.
func (r *Registrar) change(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.health()
	change()
	if now := r.health(); now != before {
		r.registration.SetHealth(now)
	}
}

// health is called with the lock held.
func (r *Registrar) health() registry.HostState {
	if r.bad {
		return registry.Maint
	}
	return r.state
}

// Run registers the host when its check is good, and keeps it registered until ctx ends. Then it drains the host and takes it
// out; when alive ends, it takes the host out at once. It may be called once. It returns the error of Confirm, an
// etcd.HeldError, or why the user may not register the host.
func (r *Registrar) Run(ctx, alive context.Context) error {
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(alive, cancel)()
	var checking stdsync.WaitGroup
	defer checking.Wait()
	defer cancel()
	good := make(chan struct{})
	checking.Go(func() { r.check(work, stdsync.OnceFunc(func() { close(good) })) })
	select {
	case <-work.Done():
		return nil
	case <-good:
	}
	confirmed := make(chan error, 1)
	checking.Go(func() { confirmed <- r.confirm(work, cancel) })
	err := r.registration.Run(work)
	gaveUp := work.Err() == nil
	cancel()
	unconfirmed := <-confirmed
	var held *etcd.HeldError
	switch {
	case errors.As(err, &held):
		return held
	case gaveUp:
		return errors.Join(err, r.registration.End(context.WithoutCancel(alive)))
	}
	if err := r.registration.Leave(alive, r.drainTime()); err != nil {
		r.log.Warn("the host leaves when its lease runs out", "error", err)
	}
	return unconfirmed
}

// confirm waits until the host is registered, and calls end if Confirm returns an error.
func (r *Registrar) confirm(ctx context.Context, end context.CancelFunc) error {
	if r.conf.Confirm == nil {
		return nil
	}
	var at registry.Revision
	select {
	case <-ctx.Done():
		return nil
	case at = <-r.registered:
	}
	err := r.conf.Confirm(ctx, at)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	r.log.Error("the host is taken out again: it is not in effect")
	end()
	return err
}

// check calls first when the check is first good, and goes on until ctx ends.
func (r *Registrar) check(ctx context.Context, first func()) {
	if r.conf.Check == nil {
		first()
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	registered := false
	r.conf.Check.Watch(ctx, func(healthy bool, why error) {
		r.setBad(!healthy)
		switch {
		case healthy && !registered:
			registered = true
			first()
			if r.conf.UntilGood {
				cancel()
			}
		case healthy:
			r.log.Info("the host is good again")
		case registered:
			r.log.Warn("the host is bad", "check", why)
		default:
			r.log.Info("the host is not good yet, it is registered when it is", "check", why)
		}
	})
}
