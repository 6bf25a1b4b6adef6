package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/hapsync/hapsync/registry"
)

// A Client reads and writes the registry. It connects at its first request, and logs in if there is a user. A request that
// cannot connect returns why, and the next one tries again. All methods are safe for concurrent use.
type Client struct {
	conf    Config
	tls     *tls.Config // nil for none
	life    context.Context
	end     context.CancelFunc
	login   chan struct{} // of size one: full while a request connects
	etcd    atomic.Pointer[clientv3.Client]
	wrapped func(clientv3.KV) clientv3.KV // for tests; nil for none
	last    *lastError
	relist  chan struct{} // wakes Follow
}

// New checks the configuration and returns a client, which must be closed. It does not connect.
func New(conf Config) (*Client, error) {
	conf, err := conf.checked()
	if err != nil {
		return nil, err
	}
	c := &Client{conf: conf, login: make(chan struct{}, 1), last: new(lastError), relist: make(chan struct{}, 1)}
	if c.tls, err = conf.tlsConfig(); err != nil {
		return nil, err
	}
	c.life, c.end = context.WithCancel(context.Background())
	return c, nil
}

// connected returns etcd's client. The first caller connects and logs in.
func (c *Client) connected(ctx context.Context) (*clientv3.Client, error) {
	if client := c.etcd.Load(); client != nil {
		return client, nil
	}
	select {
	case c.login <- struct{}{}:
		defer func() { <-c.login }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if client := c.etcd.Load(); client != nil {
		return client, nil
	}
	client, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	c.etcd.Store(client)
	return client, nil
}

// connect returns a client that outlives ctx.
func (c *Client) connect(ctx context.Context) (*clientv3.Client, error) {
	life, cancel := context.WithCancel(c.life)
	stop := context.AfterFunc(ctx, cancel)
	client, err := clientv3.New(clientv3.Config{
		Context:              life,
		Endpoints:            c.conf.Endpoints,
		TLS:                  c.tls,
		Username:             c.conf.User,
		Password:             c.conf.Password,
		DialTimeout:          c.conf.DialTimeout,
		DialKeepAliveTime:    10 * time.Second, // finds a dead connection while a request waits
		DialKeepAliveTimeout: 3 * time.Second,
		MaxCallRecvMsgSize:   maxPage,
		Logger:               zap.NewNop(),
		DialOptions: append(c.conf.dialOptions(c.tls),
			grpc.WithChainUnaryInterceptor(c.intercept), grpc.WithConnectParams(reconnect(c.conf))),
	})
	if !stop() && err == nil {
		err = errors.Join(ctx.Err(), client.Close())
	}
	if err != nil {
		cancel()
		if ctx.Err() != nil {
			err = ctx.Err() // etcd's error would name the canceled life
		}
		return nil, err
	}
	return client, nil
}

// Close ends the connections.
func (c *Client) Close() error {
	client := c.etcd.Load()
	defer c.end()
	if client == nil {
		return nil
	}
	if err := client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("close the connection to etcd: %w", err)
	}
	return nil
}

// reconnect limits the time between two attempts to connect to 3 seconds; gRPC's default is two minutes. So an etcd that comes
// back after a long outage is found soon.
func reconnect(conf Config) grpc.ConnectParams {
	params := grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: 2 * conf.DialTimeout}
	params.Backoff.BaseDelay, params.Backoff.MaxDelay = 200*time.Millisecond, 3*time.Second
	return params
}

// Snapshot reads all keys at one revision. Errors wrap ErrUnavailable, except those of the context.
func (c *Client) Snapshot(ctx context.Context) (registry.Snapshot, error) {
	l, err := c.listAll(ctx)
	if err != nil {
		return registry.Snapshot{}, c.explain(ctx, err)
	}
	return c.decoded(l), nil
}

// Domain reads only the keys of one domain, in its lower-case spelling, at one revision. Its user needs no permission for
// others.
func (c *Client) Domain(ctx context.Context, name string) (registry.Snapshot, error) {
	l, err := c.below(ctx, c.domainRoot(name))
	if err != nil {
		return registry.Snapshot{}, c.explainRead(ctx, err, strings.TrimSuffix(c.domainRoot(name), "/"))
	}
	return c.decoded(l), nil
}

// decoded is the snapshot of a listing.
func (c *Client) decoded(l listing) registry.Snapshot {
	s := registry.Snapshot{Prefix: c.conf.Prefix, ClusterID: l.Cluster, Revision: registry.Revision(l.Revision), Keys: l.Count()}
	s.Domains, s.Problems, s.Ignored = registry.Decode(c.conf.Prefix, append(l.Keys, l.Itself...), c.conf.Addresses)
	more := append(l.Problems(c.conf.Prefix, c.conf.MaxKeys), registry.ShareAliases(c.conf.Prefix, s.Domains, c.conf.Domains)...)
	if len(more) > 0 {
		s.Problems = append(s.Problems, more...)
		slices.SortFunc(s.Problems, registry.CompareProblems)
	}
	return s
}

// listAll returns the keys below the prefix and the key that is the prefix itself.
func (c *Client) listAll(ctx context.Context) (listing, error) {
	l, err := c.list(ctx)
	for tries := 1; tries < 5 && errors.Is(err, rpctypes.ErrCompacted); tries++ {
		l, err = c.list(ctx) // compacted between two pages: read a newer revision
	}
	return l, err
}
