package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// An AnnounceConfig says where an agent reports.
type AnnounceConfig struct {
	// Prefix has passed CheckReportPrefix, Name CheckHost. Together they are the key.
	Prefix, Name string
	// TTL of the lease, in whole seconds; zero means DefaultTTL.
	TTL time.Duration
	// Logger gets each reason why reports do not reach etcd, once; it may not be nil.
	Logger *slog.Logger
	// Failed is called with the reason that is logged, and with nil when reports reach etcd again; nil if not needed.
	Failed func(error)
}

func (conf AnnounceConfig) key() string { return conf.Prefix + "/" + conf.Name }

// ownName is the name under which an agent reports while a living agent of its name has the key: no agent may be missing to those who
// wait for all.
func (conf AnnounceConfig) ownName(id clientv3.LeaseID) string {
	lease := "." + leaseName(id)
	return conf.Name[:min(len(conf.Name), maxName-len(lease))] + lease
}

// maxName is the longest name that a report may have (registry.CheckHost).
const maxName = 64

// deniedPause is the time between two attempts after etcd denied permission, until an operator grants it.
const deniedPause = time.Minute

// errNameTaken says that another agent writes the same key.
var errNameTaken = errors.New("another agent reports under the same name: give each its own (--name)")

// Announce writes the reports from the channel to the agent's key until the context ends, and then deletes the key. The key has
// a lease that Announce keeps alive. If the key is lost, Announce writes it again. The first report replaces that of an agent
// with the same name, which may have died; one that lives then reports under a name of its own. Errors are logged and retried, not returned.
func (c *Client) Announce(ctx context.Context, conf AnnounceConfig, reports <-chan registry.AgentReport) {
	a := &announcer{client: c, conf: conf, leases: map[clientv3.LeaseID]bool{}, retry: exponential(time.Second, 10*time.Second)}
	if a.conf.TTL == 0 {
		a.conf.TTL = DefaultTTL
	}
	a.run(ctx, reports)
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = a.lease.revoke(short, c) // if that fails, the lease expires
}

// An announcer writes one key. One goroutine owns it.
type announcer struct {
	client *Client
	conf   AnnounceConfig
	lease  lease
	leases map[clientv3.LeaseID]bool // all that it has had: an etcd that was restored may have its key under an earlier one
	retry  backoff.ExponentialBackOff
	report string // the last one; empty before the first
	ours   bool   // it has written the key before
	apart  string // the other key that it has written because its own is taken; empty if there is none
	logged string // the last error that was logged
}

func (a *announcer) run(ctx context.Context, reports <-chan registry.AgentReport) {
	var again <-chan time.Time // the next retry; nil if there is none
	for {
		write := true
		select {
		case <-ctx.Done():
			return
		case report := <-reports:
			a.take(report)
			write = again == nil || a.apart != ""
		case _, ok := <-a.lease.alive:
			if !ok {
				a.lease.alive = nil
			}
			write = again == nil && (!ok || !a.keyExists(ctx))
		case <-again:
		}
		if !write || a.report == "" {
			continue
		}
		again = nil
		if err := a.write(ctx); err != nil && ctx.Err() == nil {
			again = time.After(a.handle(ctx, err))
		}
	}
}

func (a *announcer) take(report registry.AgentReport) {
	if text, err := report.Encode(); err == nil { // it has only numbers, texts and times: no error
		a.report = text
	}
}

// keyExists reports whether the key still has the lease. It also returns true if etcd does not answer: the next keep-alive asks
// again. It reads the value, too, because etcd returns no lease for a key without its value.
func (a *announcer) keyExists(ctx context.Context) bool {
	page, err := a.client.get(ctx, a.client.conf.DialTimeout, a.conf.key())
	return err != nil || len(page.Kvs) == 1 && clientv3.LeaseID(page.Kvs[0].Lease) == a.lease.id
}

// write puts the report under a living lease.
func (a *announcer) write(ctx context.Context) error {
	c, key := a.client, a.conf.key()
	if a.lease.alive == nil {
		if _, err := a.lease.ensure(ctx, c, a.conf.TTL); err != nil {
			return err
		}
	}
	a.leases[a.lease.id] = true
	have, err := c.get(ctx, c.conf.DialTimeout, key)
	if err != nil {
		return err
	}
	was := int64(0)
	if len(have.Kvs) == 1 {
		was = have.Kvs[0].ModRevision
		if lease := clientv3.LeaseID(have.Kvs[0].Lease); a.ours && !a.leases[lease] {
			return a.writeApart(ctx)
		}
	}
	ops := []clientv3.Op{clientv3.OpPut(key, a.report, clientv3.WithLease(a.lease.id))}
	if a.apart != "" {
		ops = append(ops, clientv3.OpDelete(a.apart))
	}
	revision, err := c.txn(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", was)}, ops...)
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		a.lease.drop()
		return err
	case err != nil:
		return err
	case revision == 0:
		return errNameTaken
	}
	if a.logged != "" {
		a.conf.Logger.Info("the agent reports to the registry again", "key", key)
	}
	if a.logged != "" && a.conf.Failed != nil {
		a.conf.Failed(nil)
	}
	a.ours, a.logged, a.apart = true, "", ""
	a.retry.Reset()
	return nil
}

// writeApart puts the report under a name of its own, because another agent has the key. It returns an error in any case.
func (a *announcer) writeApart(ctx context.Context) error {
	name := a.conf.ownName(a.lease.id)
	key := a.conf.Prefix + "/" + name
	if _, err := a.client.txn(ctx, nil, clientv3.OpPut(key, a.report, clientv3.WithLease(a.lease.id))); err != nil {
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			a.lease.drop()
		}
		return fmt.Errorf("%w; under %s it cannot report either: %w", errNameTaken, name, err)
	}
	a.apart = key
	return fmt.Errorf("%w; until then it reports as %s", errNameTaken, name)
}

// handle logs an error once if an operator can fix it, and returns when to retry. The agent itself logs that etcd is
// unavailable.
func (a *announcer) handle(ctx context.Context, err error) time.Duration {
	refused := denied(err)
	if unwritable(err) || errors.Is(err, errNameTaken) {
		if unwritable(err) {
			err = a.client.explainDenied(ctx, err, "write", "readwrite", a.conf.key(), false)
		}
		if a.logged != err.Error() {
			a.logged = err.Error()
			a.conf.Logger.Warn("the agent's reports do not reach the registry, its work goes on", "key", a.conf.key(), "error", err)
			if a.conf.Failed != nil {
				a.conf.Failed(err)
			}
		}
	} else {
		a.conf.Logger.Debug("the report waits for etcd", "error", err)
	}
	if refused {
		return deniedPause
	}
	return a.retry.NextBackOff()
}
