// Package registrar is the life of a registered host, from its first good check to the end of its lease: the same for the host
// of a command line, of a wrapped command and of a container.
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
	// TTL of the lease; Drain is how long the host stays in drain before it leaves.
	TTL, Drain time.Duration
	// Replace takes the name over at the start, with ReplaceAt only from a host with one of these addresses; Patient waits until it
	// is free. Without both a name that another has is an error.
	Replace, Patient bool
	ReplaceAt        []netip.Addr
	// Check keeps the host out until it is good, and in maintenance while it is bad; nil for none. It belongs to Run.
	Check *health.Check
	// UntilGood ends the check when it was good once.
	UntilGood bool
	// Confirm is called once, when the host is in the registry; nil for none. If it returns an error, the host is taken out
	// again and Run returns the error. Its context ends when the host leaves.
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

	mu    stdsync.Mutex
	state registry.HostState // without the check
	bad   bool               // by the check
	drain time.Duration
}

// New checks the configuration. It writes nothing: Run does.
func New(conf Config) (*Registrar, error) {
	r := &Registrar{conf: conf, log: conf.Logger, state: conf.Host.State, drain: conf.Drain, registered: make(chan registry.Revision, 1)}
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

// SetState says what the host is without the check: Ready, or Maint. It may be called at any time, by any goroutine.
func (r *Registrar) SetState(state registry.HostState) {
	r.change(func() { r.state = state })
}

// SetDrain says for how long the host is to be in drain when it leaves.
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

// change tells the registration if the change has changed the health.
func (r *Registrar) change(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.health()
	change()
	if now := r.health(); now != before {
		r.registration.SetHealth(now)
	}
}

// health is to be called with the lock held.
func (r *Registrar) health() registry.HostState {
	if r.bad {
		return registry.Maint
	}
	return r.state
}

// Run registers the host when its check is good, keeps it registered until ctx ends, and takes it out. It may be called once. It
// returns the error of Confirm, an etcd.HeldError, or why the user may not register it.
func (r *Registrar) Run(ctx context.Context) error {
	return r.run(ctx, context.WithoutCancel(ctx))
}

// run takes the host out in peace when ctx ends, and at once when alive does.
func (r *Registrar) run(ctx, alive context.Context) error {
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

// confirm waits until the host is registered and calls end if it is not to stay.
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

// check calls first when the host is good, and goes on until ctx ends.
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
