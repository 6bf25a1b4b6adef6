package etcd

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// An AnnounceConfig says where an agent reports.
type AnnounceConfig struct {
	// Prefix has been through CheckReportPrefix, Name through CheckHost: together they are the key.
	Prefix, Name string
	// TTL of the lease, in whole seconds; zero means DefaultTTL.
	TTL time.Duration
	// Logger gets what keeps the reports from etcd, once; it may not be nil.
	Logger *slog.Logger
}

func (conf AnnounceConfig) key() string { return conf.Prefix + "/" + conf.Name }

// deniedPause is how long the operator has to grant a permission before it is tried again.
const deniedPause = time.Minute

// errNameTaken ends a report where another agent has the name.
var errNameTaken = errors.New("another agent reports under the same name: give each its own (--name)")

// Announce writes the reports that come to the key of the agent, under a lease that it keeps alive, until the context
// ends; then the key is gone. A key that is lost, for whatever reason, is written again. The first report takes the key over
// from an agent that has died. What goes wrong is logged and tried again: the caller need not know. The pace is the
// sender's.
func (c *Client) Announce(ctx context.Context, conf AnnounceConfig, reports <-chan registry.AgentReport) {
	a := &announcer{client: c, conf: conf, retry: backoff.ExponentialBackOff{InitialInterval: time.Second,
		RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 10 * time.Second}}
	if a.conf.TTL == 0 {
		a.conf.TTL = DefaultTTL
	}
	a.run(ctx, reports)
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = a.lease.revoke(short, c) // else it runs out
}

// An announcer writes one key. One goroutine owns it.
type announcer struct {
	client *Client
	conf   AnnounceConfig
	lease  lease
	retry  backoff.ExponentialBackOff
	report string // the last one; empty before the first
	ours   bool   // the key was written once
	told   string // the trouble that was logged last
}

func (a *announcer) run(ctx context.Context, reports <-chan registry.AgentReport) {
	var again <-chan time.Time // when what has failed is tried again
	for {
		write := true
		select {
		case <-ctx.Done():
			return
		case report := <-reports:
			a.take(report)
			write = again == nil
		case _, ok := <-a.lease.alive:
			if !ok {
				a.lease.alive = nil
			}
			write = again == nil && (!ok || !a.stands(ctx))
		case <-again:
		}
		if !write || a.report == "" {
			continue
		}
		again = nil
		if err := a.write(ctx); err != nil && ctx.Err() == nil {
			again = time.After(a.trouble(ctx, err))
		}
	}
}

func (a *announcer) take(report registry.AgentReport) {
	if text, err := report.Encode(); err == nil { // numbers, texts and times: it always is
		a.report = text
	}
}

// stands reports whether the key is there as it was written. An etcd that does not say so is asked again. (Of keys without
// their values etcd does not tell the lease.)
func (a *announcer) stands(ctx context.Context) bool {
	page, err := a.client.get(ctx, a.client.conf.DialTimeout, a.conf.key())
	return err != nil || len(page.Kvs) == 1 && clientv3.LeaseID(page.Kvs[0].Lease) == a.lease.id
}

// write puts the report under a lease that lives.
func (a *announcer) write(ctx context.Context) error {
	c, key := a.client, a.conf.key()
	if a.lease.alive == nil {
		if _, err := a.lease.ensure(ctx, c, a.conf.TTL); err != nil {
			return err
		}
	}
	have, err := c.get(ctx, c.conf.DialTimeout, key)
	if err != nil {
		return err
	}
	was := int64(0)
	if len(have.Kvs) == 1 {
		was = have.Kvs[0].ModRevision
		if lease := clientv3.LeaseID(have.Kvs[0].Lease); a.ours && lease != a.lease.id && lease != a.lease.past {
			return errNameTaken
		}
	}
	revision, err := c.txn(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", was)},
		clientv3.OpPut(key, a.report, clientv3.WithLease(a.lease.id)))
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		a.lease.drop()
		return err
	case err != nil:
		return err
	case revision == 0:
		return errNameTaken
	}
	if a.told != "" {
		a.conf.Logger.Info("the agent reports to the registry again", "key", key)
	}
	a.ours, a.told = true, ""
	a.retry.Reset()
	return nil
}

// trouble logs what an operator can do something about, once, and returns when to try again. That etcd is away, the agent
// itself says.
func (a *announcer) trouble(ctx context.Context, err error) time.Duration {
	denied := errors.Is(err, rpctypes.ErrPermissionDenied)
	if unwritable(err) || errors.Is(err, errNameTaken) {
		if unwritable(err) {
			err = a.client.explainDenied(ctx, err, "write", "readwrite", a.conf.key(), false)
		}
		if a.told != err.Error() {
			a.told = err.Error()
			a.conf.Logger.Warn("the agent's reports do not reach the registry, its work goes on", "key", a.conf.key(), "error", err)
		}
	} else {
		a.conf.Logger.Debug("the report waits for etcd", "error", err)
	}
	if denied {
		return deniedPause
	}
	return a.retry.NextBackOff()
}
