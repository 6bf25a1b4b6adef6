package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// errNotKept ends a session whose lease is not kept alive any more.
var errNotKept = errors.New("the lease was not kept alive")

// A lease is kept alive until it is dropped. The zero value is no lease.
type lease struct {
	id    clientv3.LeaseID
	last  clientv3.LeaseID // of the last write of the host's keys
	past  clientv3.LeaseID // the lease before, which has ended; etcd may take a moment to delete its keys
	alive <-chan *clientv3.LeaseKeepAliveResponse
	stop  context.CancelFunc
}

func leaseName(id clientv3.LeaseID) string { return fmt.Sprintf("%x", int64(id)) }

// resume checks whether the lease still lives, and keeps it alive again. An etcd that was restarted gives all leases their
// whole TTL again.
func (l *lease) resume(ctx context.Context, c *Client) error {
	if l.id == 0 {
		return nil
	}
	left, err := c.leaseLeft(ctx, l.id)
	if err != nil {
		return err
	}
	l.drop()
	if left == 0 {
		l.id, l.past = 0, l.id
		return nil
	}
	return l.keep(ctx, c)
}

// ensure returns the lease if it lives, or else a new one.
func (l *lease) ensure(ctx context.Context, c *Client, ttl time.Duration) (clientv3.LeaseID, error) {
	if err := l.resume(ctx, c); err != nil || l.id != 0 {
		return l.id, err
	}
	short, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), c.conf.DialTimeout)
	defer cancel()
	client, err := c.connected(short)
	if err != nil {
		return 0, err
	}
	granted, err := client.Grant(short, int64(ttl/time.Second))
	if err != nil {
		return 0, err
	}
	l.id = granted.ID
	return l.id, l.keep(ctx, c)
}

// keep keeps the lease alive, even after ctx ends: the host outlives the session.
func (l *lease) keep(ctx context.Context, c *Client) error {
	client, err := c.connected(ctx)
	if err != nil {
		return err
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	if l.alive, err = client.KeepAlive(ctx, l.id); err != nil {
		l.stop()
	}
	return err
}

// drop stops the keep-alive: the lease expires.
func (l *lease) drop() {
	if l.stop != nil {
		l.stop()
	}
	l.alive, l.stop = nil, nil
}

// revoke ends the lease and deletes its keys.
func (l *lease) revoke(ctx context.Context, c *Client) error {
	l.drop()
	if l.id == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.conf.DialTimeout)
	defer cancel()
	client, err := c.connected(ctx)
	if err != nil {
		return err
	}
	_, err = client.Revoke(ctx, l.id)
	return err
}
