package docker

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hapsync/hapsync/registry/health"
	"github.com/hapsync/hapsync/registry/registrar"
)

// A life is the time of a container in the registry under one name, until its lease ends.
type life struct {
	host      Host
	registrar *registrar.Registrar
	leaving   bool               // belongs to Reconciler.Run
	cancel    context.CancelFunc // drains the host, and takes it out
	hurry     context.CancelFunc // takes it out at once
	ended     chan struct{}      // closed when it has ended
}

// begin registers a host until end is called, even if ctx ends before.
func (r *Reconciler) begin(ctx context.Context, host Host) (*life, error) {
	l := &life{host: host, ended: make(chan struct{})}
	log := r.log.With("container", host.Container)
	var err error
	l.registrar, err = registrar.New(registrar.Config{
		Client: r.conf.Client, Domain: host.Domain, Host: host.Host, TTL: r.conf.TTL, Drain: r.conf.Drain,
		Replace: r.conf.Replace, ReplaceAt: []netip.Addr{r.conf.Settings.IP, host.Addr.Addr()}, Patient: true, Check: r.checkOf(host), Logger: log,
	})
	if err != nil {
		return nil, err
	}
	alive, hurry := context.WithCancel(context.WithoutCancel(ctx))
	l.hurry = hurry
	ctx, l.cancel = context.WithCancel(alive)
	go func() {
		defer r.notify()
		defer close(l.ended)
		defer hurry()
		if err := l.registrar.Run(ctx, alive); err != nil {
			log.Error("the container cannot be registered", "error", err)
		}
	}()
	return l, nil
}

// checkOf is the check of a container; nil if it has none.
func (r *Reconciler) checkOf(host Host) *health.Check {
	check := r.conf.Check
	switch host.Check {
	case "":
		return nil
	case "tcp":
		check.Probe = health.TCP(host.Addr.String())
	default:
		check.Probe = health.HTTP(fmt.Sprintf("http://%s%s", host.Addr, host.Check))
	}
	return &check
}

// end begins to take the host out; ended is closed when that is done. Only the first call counts.
func (l *life) end(drain time.Duration) {
	if !l.leaving {
		l.leaving = true
		l.registrar.SetDrain(drain)
		l.cancel()
	}
}

func (l *life) hasEnded() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// is reports whether the life is that of the host, apart from its state.
func (l *life) is(host Host) bool {
	host.State = l.host.State
	return host == l.host
}
