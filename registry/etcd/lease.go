package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// errNotKept ends a session whose lease is not kept alive any more; it may have ended.
var errNotKept = errors.New("the lease was not kept alive")

// A lease is kept alive until it is dropped. The zero value is none.
type lease struct {
	id    clientv3.LeaseID
	last  clientv3.LeaseID // the one that the keys of the host were written under last
	past  clientv3.LeaseID // the one that has ended last; etcd may take a moment to delete its keys
	alive <-chan *clientv3.LeaseKeepAliveResponse
	stop  context.CancelFunc
}

func leaseName(id clientv3.LeaseID) string { return fmt.Sprintf("%x", int64(id)) }

// resume sees whether the lease goes on that was not kept alive for some time. An etcd that was restarted gives all leases
// their whole time again.
func (l *lease) resume(ctx context.Context, c *Client) error {
	if l.id == 0 {
		return nil
	}
	left, err := c.left(ctx, l.id)
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

// ensure returns a lease that lives: the one that there is, or a new one.
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

// keep keeps the lease alive beyond the context: the host outlives the session.
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

// drop lets the lease run out.
func (l *lease) drop() {
	if l.stop != nil {
		l.stop()
	}
	l.alive, l.stop = nil, nil
}

// revoke ends the lease, and the keys that it has.
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
