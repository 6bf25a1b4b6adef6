package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/mirror"
)

// maxPage is the maximum size of a page, in bytes. By default etcd takes values up to 1.5 MB.
const maxPage = 16 << 20

// A listing is all keys below a prefix at one revision of etcd.
type listing struct {
	mirror.Listing
	hidden bool // the user may not read the key that is the prefix itself
}

// withoutKeys is the listing for what needs only its revision: the keys of a large registry take some MB.
func (l listing) withoutKeys() listing {
	return listing{Listing: mirror.Listing{Cluster: l.Cluster, Revision: l.Revision}, hidden: l.hidden}
}

// list reads the keys and the prefix itself at one revision.
func (c *Client) list(ctx context.Context) (listing, error) {
	ctx = inOneCluster(ctx)
	l, err := c.below(ctx, c.conf.Prefix+"/")
	if err != nil {
		return listing{}, err
	}
	l.Itself, err = c.prefixKey(ctx, l.Revision)
	if denied(err) {
		l.hidden, err = true, nil // the keys below the prefix are enough
	}
	return l, err
}

// below reads the keys that begin with root page by page, all at the revision of the first page. If a page is larger than
// maxPage, it is read again with fewer keys.
func (c *Client) below(ctx context.Context, root string) (listing, error) {
	var l listing
	from, end := root, clientv3.GetPrefixRangeEnd(root)
	size, timeout := c.conf.PageSize, c.conf.DialTimeout
	for {
		page, err := c.get(ctx, timeout, from, clientv3.WithRange(end), clientv3.WithRev(l.Revision), clientv3.WithLimit(int64(size)))
		if tooLarge(err) && size > 1 {
			size = max(1, size/8)
			continue
		}
		if err != nil {
			return listing{}, err
		}
		if l.Revision != 0 && page.Header.ClusterId != l.Cluster {
			return listing{}, errClusters
		}
		l.add(c.conf, page)
		if !page.More || len(page.Kvs) == 0 {
			return l, nil
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
		size, timeout = min(2*size, c.conf.PageSize), c.conf.RequestTimeout
	}
}

// tooLarge reports whether the client refused an answer larger than maxPage. etcd uses the same code for too many requests.
func tooLarge(err error) bool {
	var etcd rpctypes.EtcdError
	return status.Code(err) == codes.ResourceExhausted && !errors.As(err, &etcd)
}

// prefixKey returns the key that is the prefix itself, if it exists.
func (c *Client) prefixKey(ctx context.Context, revision int64) ([]registry.KeyValue, error) {
	var l listing
	page, err := c.get(ctx, c.conf.RequestTimeout, c.conf.Prefix, clientv3.WithRev(revision), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	l.add(c.conf, page)
	return l.Keys, nil
}

// get is one linearizable read, from a member that has a leader.
func (c *Client) get(ctx context.Context, timeout time.Duration, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), timeout)
	defer cancel()
	client, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	kv := clientv3.KV(client)
	if c.wrapped != nil {
		kv = c.wrapped(kv)
	}
	return kv.Get(ctx, key, opts...)
}

// add copies what is kept of a page.
func (l *listing) add(conf Config, page *clientv3.GetResponse) {
	if l.Revision == 0 {
		l.Cluster, l.Revision = page.Header.ClusterId, page.Header.Revision
		l.Keys = make([]registry.KeyValue, 0, min(page.Count, 1<<16))
	}
	for _, kv := range page.Kvs {
		if mirror.Serves(conf.Domains, conf.Prefix, kv.Key) {
			l.Add(conf.Prefix, conf.MaxKeys, mirror.Stored{
				Key: kv.Key, Value: kv.Value, Version: kv.Version, Created: kv.CreateRevision, Modified: kv.ModRevision,
			})
		}
	}
}
