package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// ErrNoHost is wrapped by errors about a host that is not in the registry.
var ErrNoHost = errors.New("no such host")

// errChanged says that the host has changed since it was read.
var errChanged = errors.New("the host has changed meanwhile")

// SetHost writes one key of an existing host ("state", "weight"), under the lease of the host if it has one, so that the key
// ends with it. It returns the revision of the write. Errors wrap ErrNoHost or ErrUnavailable, except those of the context and
// of a bad value.
func (c *Client) SetHost(ctx context.Context, domain, host, attribute, value string) (at registry.Revision, err error) {
	if err := registry.CheckValue(attribute, value); err != nil {
		return 0, err
	}
	err = c.onHost(ctx, domain, host, func(ctx context.Context, have hostKeys) (err error) {
		at, err = c.set(ctx, have, attribute, value)
		return err
	})
	return at, err
}

// Deregister takes a host out of the registry, even if another process registered it: in the steps of Registration.Leave, but without revoking
// the lease. It returns the revision of the deletion. undrained says why the host was deleted without a drain; nil if it was
// drained.
func (c *Client) Deregister(ctx context.Context, domain, host string, drain time.Duration) (at registry.Revision, undrained, err error) {
	err = c.onHost(ctx, domain, host, func(ctx context.Context, have hostKeys) (err error) {
		at, undrained, err = c.takeOut(ctx, have, drain)
		return err
	})
	if undrained != nil {
		undrained = c.explainWrite(ctx, undrained, domain)
	}
	return at, undrained, err
}

// onHost reads a host and calls do; if the host changes meanwhile, again.
func (c *Client) onHost(ctx context.Context, domain, host string, do func(context.Context, hostKeys) error) error {
	path, err := c.hostPath(domain, host)
	if err != nil {
		return err
	}
	all := inOneCluster(ctx)
	err = errChanged
	for tries := 0; tries < 10 && errors.Is(err, errChanged); tries++ {
		var have hostKeys
		if have, err = c.hostKeys(all, path); err != nil {
			break
		}
		if have.anchor() == "" {
			err = fmt.Errorf("%w: host %s of domain %s is not in the registry, below %s", ErrNoHost, host, domain, c.conf.Prefix)
			break
		}
		err = do(all, have)
	}
	switch err = c.orClusters(ctx, err); {
	case err == nil, errors.Is(err, ErrNoHost):
		return err
	case errors.Is(err, errChanged):
		return fmt.Errorf("write %s of %s: %w, time and again", host, domain, err)
	}
	return c.explainWrite(ctx, err, domain)
}

// same holds while the host exists and has the lease that it was read with.
func (h hostKeys) same() []clientv3.Cmp {
	key := h.anchor()
	return []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(key), ">", 0),
		clientv3.Compare(clientv3.LeaseValue(key), "=", h.keys[key].lease),
	}
}

func (c *Client) set(ctx context.Context, have hostKeys, attribute, value string) (registry.Revision, error) {
	lease := have.keys[have.anchor()].lease
	revision, err := c.txn(ctx, have.same(), clientv3.OpPut(keyOfHost(have.path, attribute), value, clientv3.WithLease(lease)))
	if err == nil && revision == 0 || errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return 0, errChanged
	}
	return registry.Revision(revision), err
}

// settleRemoval is the time between two steps of a removal, so that HAProxy has made one step before the next one begins.
const settleRemoval = time.Second

// takeOut drains the host, puts it into maintenance, so that clients with its cookie move to others, and deletes its keys. If
// etcd refuses a put, the keys are deleted at once, and undrained says why.
func (c *Client) takeOut(ctx context.Context, have hostKeys, drain time.Duration) (at registry.Revision, undrained, err error) {
	err = c.drain(ctx, have, drain)
	if unwritable(err) {
		undrained, err = err, nil
	}
	if err != nil {
		return 0, nil, err
	}
	revision, err := c.txn(ctx, have.same(), clientv3.OpDelete(have.path), clientv3.OpDelete(have.path+"/", clientv3.WithPrefix()))
	if err == nil && revision == 0 {
		return 0, nil, errChanged
	}
	return registry.Revision(revision), undrained, err
}

// drain ends with the host in maintenance as an operator's decision. Otherwise the registration would take the deletion of the
// keys for an accident, and write them again. A host in maintenance already has no clients to drain.
func (c *Client) drain(ctx context.Context, have hostKeys, drain time.Duration) error {
	if state, _ := have.of("state"); state.value == string(registry.Maint) { // perhaps its own check wrote it
		_, err := c.set(ctx, have, "state", string(registry.Maint))
		return err
	}
	if drain > 0 {
		if _, err := c.set(ctx, have, "state", string(registry.Drain)); err != nil {
			return err
		}
		if err := wait(ctx, drain); err != nil {
			return err
		}
	}
	if _, err := c.set(ctx, have, "state", string(registry.Maint)); err != nil {
		return err
	}
	return wait(ctx, settleRemoval)
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
