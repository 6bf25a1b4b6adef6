package registry

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Key is a key of a domain as it is in etcd.
type Key struct {
	// Key and Value are printable, cut off where they are long.
	Key   string `json:"key"`
	Value string `json:"value"`
	// Host is the part of the key after the domain, where there is one with something below.
	Host string `json:"host,omitempty"`
	// Revision is that of the last put.
	Revision Revision `json:"revision"`
	// Lease is in hexadecimal, as etcdctl has it; empty for a key without one. Left is how long it goes on unless it is kept
	// alive.
	Lease       string        `json:"lease,omitempty"`
	Left        time.Duration `json:"-"`
	LeftSeconds float64       `json:"left_seconds,omitempty"`
}

// Keys reads the keys of a domain, in its lower-case spelling, sorted. Errors wrap ErrUnavailable, but for those of the context.
func (c *Client) Keys(ctx context.Context, domain string) ([]Key, error) {
	root := c.conf.Prefix + "/" + strings.ToLower(domain) + "/"
	page, err := c.get(ctx, c.conf.DialTimeout, root, clientv3.WithPrefix(), clientv3.WithLimit(int64(c.conf.PageSize)))
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	left := map[int64]time.Duration{}
	keys := make([]Key, 0, len(page.Kvs))
	for _, kv := range page.Kvs {
		k := Key{Key: printable(string(kv.Key)), Value: oneLine(string(kv.Value[:min(len(kv.Value), maxQuoted)])), Revision: Revision(kv.ModRevision)}
		if host, _, below := strings.Cut(strings.TrimPrefix(string(kv.Key), root), "/"); below {
			k.Host = oneLine(host)
		}
		if kv.Lease != 0 {
			if _, known := left[kv.Lease]; !known {
				if left[kv.Lease], err = c.left(ctx, clientv3.LeaseID(kv.Lease)); err != nil {
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
