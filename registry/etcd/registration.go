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
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// DefaultTTL is how long a host stays in the registry after its registration has died.
const DefaultTTL = 15 * time.Second

// A RegistrationConfig says which host to register.
type RegistrationConfig struct {
	Domain string
	Host   registry.Host
	// TTL of the lease: whole seconds, two or more; zero means DefaultTTL.
	TTL time.Duration
	// Replace takes the name over from another host at the start; with ReplaceAt only if its address is one of these.
	Replace   bool
	ReplaceAt []netip.Addr
	// Patient waits if another host has the name at the start; without it, that is an error.
	Patient bool
	// Registered is called once with the revision of the first write of the host; nil for none. It may not block.
	Registered func(registry.Revision)
	// Logger gets what happens to the host; it may not be nil.
	Logger *slog.Logger
}

// A Registration keeps a host in the registry: all its keys in one transaction, under one lease that is kept alive. If the
// lease is lost, for any reason, it writes the keys again under a new lease; it never gives up. If others delete the keys, it
// writes them again, except when an operator had set the host to drain or maint: then the host was taken out on purpose, and
// stays out.
//
// If others write the optional keys, their values stay, also after a loss of the lease. A state of drain or maint is an
// operator's unless SetHealth caused it.
type Registration struct {
	client *Client
	conf   RegistrationConfig
	path   string // of the keys of the host
	log    *slog.Logger
	retry  backoff.ExponentialBackOff
	wake   chan struct{} // of size one

	mu     stdsync.Mutex
	health registry.HostState // Ready or Maint, by SetHealth

	// The rest belongs to Run, and then to Leave.

	lease   lease
	held    bool              // the host has been in the registry
	out     bool              // an operator has taken it out
	want    map[string]string // the values to write, by attribute, without the state
	state   string            // set by an operator; empty for none
	wrote   stateWrite        // the last state that the registration itself wrote
	written int64             // the revision of the last write of this session
	logged  string            // the last error that was logged; empty for none
}

// A stateWrite is a value of the key state, and the version of the key with that value. It is noted before the write, because
// the result of a write may stay unknown.
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
		// An etcd that is back gives all leases their whole TTL: the retry must come before that is over.
		retry: exponential(200*time.Millisecond, min(3*time.Second, conf.TTL/4)),
	}, nil
}

// SetHealth says whether the host can take requests: Ready or Maint. It is safe for concurrent use.
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

// Run registers the host and keeps it registered until the context ends; it returns the context's error. The host is then still
// there, until Leave. At the start, without Patient, Run returns a HeldError if another host has the name (unless Replace is
// set), and an error if the user may not write. If another host has taken the name later, while etcd was unavailable, Run waits
// until it is free. Run may be called once.
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
		refused := denied(err)
		err = r.client.explainWrite(ctx, err, r.conf.Domain)
		if refused && !r.held && !r.conf.Patient {
			return err
		}
		r.warn("the registration has to wait for etcd", err)
		if time.Since(began) > steady {
			r.retry.Reset()
		}
		if err := wait(ctx, r.retry.NextBackOff()); err != nil {
			return err
		}
	}
}

// warn logs an error unless it was the last one logged.
func (r *Registration) warn(message string, err error) {
	if r.logged != err.Error() {
		r.logged = err.Error()
		r.log.Warn(message, "error", err)
	}
}

// session reads the keys of the host and watches them, until something breaks.
func (r *Registration) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	r.written = 0 // a new etcd begins at revision 1
	if err := r.lease.resume(ctx, r.client); err != nil {
		return err
	}
	have, err := r.client.hostKeys(ctx, r.path)
	if err != nil {
		return err
	}
	r.observe(have)
	client, err := r.client.connected(ctx)
	if err != nil {
		return err
	}
	events := client.Watch(ctx, r.path, aroundHost(r.path), clientv3.WithRev(have.revision+1))
	for {
		if err := r.reconcile(ctx, have); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.wake:
		case _, ok := <-r.lease.alive:
			if !ok {
				r.observeRest(events, &have)
				return errNotKept
			}
		case told, ok := <-events:
			if !ok {
				return canceled("")
			}
			if err := told.Err(); err != nil {
				return err
			}
			r.observeAll(told.Events, &have)
		}
	}
}

// observeRest observes the events that have come already: an operator may have changed a key just before the lease ended.
func (r *Registration) observeRest(events clientv3.WatchChan, have *hostKeys) {
	for {
		select {
		case told, ok := <-events:
			if !ok || told.Err() != nil {
				return
			}
			r.observeAll(told.Events, have)
		default:
			return
		}
	}
}

func (r *Registration) observeAll(events []*clientv3.Event, have *hostKeys) {
	for _, event := range events {
		have.apply(event)
		r.observe(*have)
	}
}

// observe notes what others wrote to the optional keys, while the host is there.
func (r *Registration) observe(have hostKeys) {
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
	r.state = r.operatorState(have)
	if r.state != "" && r.state != before {
		r.log.Info("the state is an operator's, and stays until it is set to ready", "state", r.state)
	}
}

// operatorState is the drain or maint that an operator has set; empty for none.
func (r *Registration) operatorState(have hostKeys) string {
	key, _ := have.of("state")
	ours := r.wrote == stateWrite{key.value, key.version}
	if ours || key.value != string(registry.Drain) && key.value != string(registry.Maint) {
		return ""
	}
	return key.value
}
