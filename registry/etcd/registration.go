package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	stdsync "sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// DefaultTTL is how long a host stays in the registry after its registration has died.
const DefaultTTL = 15 * time.Second

// A RegistrationConfig says which host to register.
type RegistrationConfig struct {
	Domain string
	Host   registry.Host
	// TTL of the lease, in whole seconds, two or more; zero means DefaultTTL.
	TTL time.Duration
	// Replace takes the name over at the start, from any other host; with ReplaceAt only if its address is one of these.
	Replace   bool
	ReplaceAt []netip.Addr
	// Patient waits until a name is free that another has at the start; without it, that is an error.
	Patient bool
	// Registered is told, once, the revision at which the host has been written first; nil for none. It may
	// not block.
	Registered func(registry.Revision)
	// Logger gets what happens to the host; it may not be nil.
	Logger *slog.Logger
}

// A Registration keeps a host in the registry: all its keys in one transaction, under one lease that is kept alive. A
// lease that is lost, for whatever reason, is followed by a new one with the keys again, without end. So are keys that
// others delete, with one exception: a host that an operator had in drain or maint has been taken out on purpose, and
// stays out.
//
// What others write to the optional keys stands, also over a loss of the lease. The state is theirs while it is
// drain or maint and not what SetHealth has made it.
type Registration struct {
	client *Client
	conf   RegistrationConfig
	path   string // of the keys of the host
	log    *slog.Logger
	retry  backoff.ExponentialBackOff
	wake   chan struct{} // of size one

	mu     stdsync.Mutex
	health registry.HostState // Ready or Maint, by SetHealth

	// What follows belongs to Run, and to Leave after it.

	lease   lease
	held    bool              // the host was in the registry once
	out     bool              // an operator has taken it out
	want    map[string]string // the keys to write, by attribute, but for the state
	state   string            // that an operator wants; empty for none
	wrote   stateWrite        // the last one of the registration itself
	written int64             // the revision of the last write of this session
	told    string            // the trouble that was logged last; empty for none
}

// A stateWrite is a value of the key state and the version that the key has with it. It is noted before the write, whose
// outcome may stay unknown.
type stateWrite struct {
	value   string
	version int64
}

// NewRegistration checks the configuration. It writes nothing: Run does.
func (c *Client) NewRegistration(conf RegistrationConfig) (*Registration, error) {
	path, err := c.hostPath(conf.Domain, conf.Host.Name)
	if err != nil {
		return nil, err
	}
	conf.Domain = strings.ToLower(conf.Domain)
	conf.TTL = cmp.Or(conf.TTL, DefaultTTL)
	if conf.TTL < 2*time.Second || conf.TTL%time.Second != 0 {
		return nil, fmt.Errorf("ttl %s is not a number of whole seconds, two or more", conf.TTL)
	}
	conf.Host.State = cmp.Or(conf.Host.State, registry.Ready)
	want := conf.Host.Values()
	if _, err := registry.ParseHost(conf.Host.Name, want); err != nil {
		return nil, err
	}
	delete(want, "state")
	return &Registration{
		client: c, conf: conf, path: path, want: want, health: conf.Host.State,
		log:  conf.Logger.With("domain", conf.Domain, "host", conf.Host.Name),
		wake: make(chan struct{}, 1),
		// An etcd that is back gives all leases their whole time: they are to be kept alive again before it is over.
		retry: backoff.ExponentialBackOff{InitialInterval: 200 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2,
			MaxInterval: min(3*time.Second, conf.TTL/4)},
	}, nil
}

// SetHealth says whether the host can take requests: Ready, or Maint. It may be called at any time, by anybody.
func (r *Registration) SetHealth(state registry.HostState) {
	r.mu.Lock()
	r.health = state
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Registration) healthy() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.health)
}

// Run registers the host and keeps it registered until the context ends, whose error it returns; the host is still there
// then, until Leave. Where another has the name at the start, it returns a HeldError, unless Replace or Patient is set;
// so it does with the refusal of a user who may not write there, unless Patient is set. Where
// another has taken it later, while etcd could not be reached, the host waits until it is free. Run may be called once.
func (r *Registration) Run(ctx context.Context) error {
	for {
		began := time.Now()
		err := r.client.askNext(ctx, func() error { return r.session(ctx) })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var held *HeldError
		if errors.As(err, &held) {
			return held
		}
		denied := errors.Is(err, rpctypes.ErrPermissionDenied)
		err = r.client.explainWrite(ctx, err, r.conf.Domain)
		if denied && !r.held && !r.conf.Patient {
			return err
		}
		r.trouble("the registration has to wait for etcd", err)
		if time.Since(began) > steady {
			r.retry.Reset()
		}
		if err := wait(ctx, r.retry.NextBackOff()); err != nil {
			return err
		}
	}
}

// trouble logs what is new.
func (r *Registration) trouble(message string, err error) {
	if r.told != err.Error() {
		r.told = err.Error()
		r.log.Warn(message, "error", err)
	}
}

// session reads the keys of the host and follows them, until something breaks.
func (r *Registration) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	r.written = 0 // a new etcd begins from the start
	if err := r.lease.resume(ctx, r.client); err != nil {
		return err
	}
	have, err := r.client.hostKeys(ctx, r.path)
	if err != nil {
		return err
	}
	r.saw(have)
	client, err := r.client.connected(ctx)
	if err != nil {
		return err
	}
	events := client.Watch(ctx, r.path, aroundHost(r.path), clientv3.WithRev(have.revision+1))
	for {
		if err := r.tend(ctx, have); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.wake:
		case _, ok := <-r.lease.alive:
			if !ok {
				return errNotKept
			}
		case told, ok := <-events:
			if !ok {
				return canceled("")
			}
			if err := told.Err(); err != nil {
				return err
			}
			for _, event := range told.Events {
				have.apply(event)
				r.saw(have)
			}
		}
	}
}

// saw takes note of what others have written to the optional keys, while the host is there.
func (r *Registration) saw(have hostKeys) {
	if !have.complete(r.lease.id) {
		return
	}
	r.held = true
	for _, attribute := range []string{"weight", "maxconn", "backup"} {
		key, there := have.of(attribute)
		switch {
		case !there:
			delete(r.want, attribute)
		case registry.CheckValue(attribute, key.value) == nil:
			r.want[attribute] = key.value
		}
	}
	before := r.state
	r.state = r.operators(have)
	if r.state != "" && r.state != before {
		r.log.Info("the state is an operator's, and stays until it is set to ready", "state", r.state)
	}
}

// operators is the state that an operator has set and that is to stand; empty for none.
func (r *Registration) operators(have hostKeys) string {
	key, _ := have.of("state")
	ours := r.wrote == stateWrite{key.value, key.version}
	if ours || key.value != string(registry.Drain) && key.value != string(registry.Maint) {
		return ""
	}
	return key.value
}
