package registry

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxValue is more bytes than any good value has. Of a longer one, only so much is kept in
	// memory; it is bad all the same.
	maxValue = 1024
	// maxPage is the most bytes of a page. etcd takes values of 1.5 MB, if not told otherwise.
	maxPage = 16 << 20
)

var errClusters = errors.New("endpoints of different clusters")

// A listing is what one revision of etcd has below a prefix.
type listing struct {
	cluster  uint64
	revision int64
	keys     []KeyValue
	itself   []KeyValue // the key that is the prefix itself, where it is there
	hidden   bool       // that key may not be read
}

// list reads the keys and the prefix itself at one revision.
func (c *Client) list(ctx context.Context) (listing, error) {
	l, err := c.below(ctx)
	if err != nil {
		return listing{}, err
	}
	l.itself, err = c.prefixKey(ctx, l.revision)
	if errors.Is(err, rpctypes.ErrPermissionDenied) {
		l.hidden, err = true, nil // who may read the keys below the prefix only does without it
	}
	return l, err
}

// below reads page by page, all at the revision of the first. A page that is too large for memory,
// as one of values of a megabyte each is, is asked for again with fewer keys.
func (c *Client) below(ctx context.Context) (listing, error) {
	var l listing
	from, end := c.conf.Prefix+"/", clientv3.GetPrefixRangeEnd(c.conf.Prefix+"/")
	size, timeout := c.conf.PageSize, c.conf.DialTimeout
	for {
		page, err := c.get(ctx, timeout, from, clientv3.WithRange(end), clientv3.WithRev(l.revision), clientv3.WithLimit(int64(size)))
		if tooLarge(err) && size > 1 {
			size = max(1, size/8)
			continue
		}
		if err != nil {
			return listing{}, err
		}
		if l.revision != 0 && page.Header.ClusterId != l.cluster {
			return listing{}, errClusters
		}
		l.add(page)
		if !page.More || len(page.Kvs) == 0 {
			return l, nil
		}
		from = l.keys[len(l.keys)-1].Key + "\x00"
		size, timeout = min(2*size, c.conf.PageSize), c.conf.RequestTimeout
	}
}

// tooLarge reports whether the client refused an answer of more than maxPage. etcd itself says that
// it has too many requests with the same code.
func tooLarge(err error) bool {
	var etcd rpctypes.EtcdError
	return status.Code(err) == codes.ResourceExhausted && !errors.As(err, &etcd)
}

// prefixKey returns the key that is the prefix itself, if it is there.
func (c *Client) prefixKey(ctx context.Context, revision int64) ([]KeyValue, error) {
	var l listing
	page, err := c.get(ctx, c.conf.RequestTimeout, c.conf.Prefix, clientv3.WithRev(revision), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	l.add(page)
	return l.keys, nil
}

// get is one linearizable read, from a member that has a leader.
func (c *Client) get(ctx context.Context, timeout time.Duration, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), timeout)
	defer cancel()
	return c.kv.Get(ctx, key, opts...)
}

// add copies what is kept, so that the page can go.
func (l *listing) add(page *clientv3.GetResponse) {
	if l.revision == 0 {
		l.cluster, l.revision = page.Header.ClusterId, page.Header.Revision
		l.keys = make([]KeyValue, 0, page.Count)
	}
	for _, kv := range page.Kvs {
		l.keys = append(l.keys, KeyValue{Key: string(kv.Key), Value: string(kv.Value[:min(len(kv.Value), maxValue)])})
	}
}
