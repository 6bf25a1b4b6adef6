package etcd

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// Keys reads the keys of a domain, in its lower-case spelling, sorted. Errors wrap ErrUnavailable, except those of the context.
func (c *Client) Keys(ctx context.Context, domain string) ([]registry.Key, error) {
	root := c.domainRoot(domain)
	page, err := c.get(ctx, c.conf.DialTimeout, root, clientv3.WithPrefix(), clientv3.WithLimit(int64(c.conf.PageSize)))
	if err != nil {
		return nil, c.explainRead(ctx, err, strings.TrimSuffix(root, "/"))
	}
	left := map[int64]time.Duration{}
	keys := make([]registry.Key, 0, len(page.Kvs))
	for _, kv := range page.Kvs {
		k := registry.Key{
			Key:      registry.Printable(string(kv.Key)),
			Value:    registry.OneLine(string(kv.Value[:min(len(kv.Value), registry.MaxQuoted)])),
			Revision: registry.Revision(kv.ModRevision),
		}
		if host, _, below := strings.Cut(strings.TrimPrefix(string(kv.Key), root), "/"); below || registry.IsHost(host, string(kv.Value)) {
			k.Host = registry.OneLine(host)
		}
		if kv.Lease != 0 {
			if _, known := left[kv.Lease]; !known {
				if left[kv.Lease], err = c.leaseLeft(ctx, clientv3.LeaseID(kv.Lease)); err != nil {
					return nil, c.explain(ctx, err)
				}
			}
			k.Lease, k.Left = leaseName(clientv3.LeaseID(kv.Lease)), left[kv.Lease]
			k.LeftSeconds = k.Left.Seconds()
		}
		keys = append(keys, k)
	}
	return keys, nil
}
