package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Leave takes the host out of the registry without a failed request. Call it once, after Run. The host is in drain for that
// time, then in maintenance; then its keys are deleted. The lease is revoked last, because a host whose lease ends counts as
// dead. When the context ends, or if etcd refuses, the lease is revoked at once. If etcd is unavailable, Leave soon returns an
// error, and the host leaves when its lease expires.
func (r *Registration) Leave(ctx context.Context, drain time.Duration) error {
	if err := r.leave(ctx, drain); err != nil && ctx.Err() == nil && !answered(err) {
		r.lease.drop()
		return err
	}
	return r.End(context.WithoutCancel(ctx))
}

func (r *Registration) leave(ctx context.Context, drain time.Duration) error {
	if r.lease.id == 0 {
		return nil
	}
	have, err := r.client.hostKeys(ctx, r.path)
	if err == nil && have.complete(r.lease.id) {
		r.log.Info("the host leaves", "drain", drain.String())
		var undrained error
		if _, undrained, err = r.client.takeOut(ctx, have, drain); err == nil {
			if undrained != nil {
				r.log.Warn("etcd lets the host be deleted only: it leaves without a drain", "error", r.client.explainWrite(ctx, undrained, r.conf.Domain))
			}
			err = wait(ctx, settleRemoval)
		}
	}
	if err == nil || errors.Is(err, errChanged) {
		return nil
	}
	return r.client.explainWrite(ctx, err, r.conf.Domain)
}

// End takes the host out at once, like a dead one, by its lease. Call it after Run, instead of Leave.
func (r *Registration) End(ctx context.Context) error {
	if r.lease.id == 0 {
		return nil // the host was never there, or its lease has ended
	}
	err := r.lease.revoke(ctx, r.client)
	if err = r.client.orClusters(ctx, err); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return r.client.explainWrite(ctx, err, r.conf.Domain)
	}
	if r.held {
		r.log.Info("the host is out of the registry")
	}
	return nil
}
