package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/hapsync/hapsync/registry"
)

// A Client reads the registry. All methods may be called by several goroutines at once.
type Client struct {
	conf   Config
	etcd   *clientv3.Client
	kv     clientv3.KV
	cancel context.CancelFunc
	last   *lastError
	relist chan struct{} // wakes Follow
}

// Dial checks the configuration and returns a client, which is to be closed. Without a user it
// does not connect: the first Snapshot does. With a user it logs in, and errors may wrap
// ErrUnavailable. The context is for Dial alone.
func Dial(ctx context.Context, conf Config) (*Client, error) {
	conf, err := conf.checked()
	if err != nil {
		return nil, err
	}
	tls, err := conf.tlsConfig()
	if err != nil {
		return nil, err
	}
	c := &Client{conf: conf, last: new(lastError), relist: make(chan struct{}, 1)}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	stop := context.AfterFunc(ctx, cancel)
	c.etcd, err = clientv3.New(clientv3.Config{
		Context:              life,
		Endpoints:            conf.Endpoints,
		TLS:                  tls,
		Username:             conf.User,
		Password:             conf.Password,
		DialTimeout:          conf.DialTimeout,
		DialKeepAliveTime:    10 * time.Second, // finds a dead connection while a request waits
		DialKeepAliveTimeout: 3 * time.Second,
		MaxCallRecvMsgSize:   maxPage,
		Logger:               zap.NewNop(),
		DialOptions:          []grpc.DialOption{grpc.WithChainUnaryInterceptor(c.last.intercept), grpc.WithConnectParams(reconnect(conf))},
	})
	if !stop() && err == nil {
		err = errors.Join(ctx.Err(), c.etcd.Close())
	}
	if err != nil {
		cancel()
		return nil, c.explain(ctx, err)
	}
	c.kv = c.etcd.KV
	return c, nil
}

// Close ends the connections.
func (c *Client) Close() error {
	defer c.cancel()
	if err := c.etcd.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("close the connection to etcd: %w", err)
	}
	return nil
}

// reconnect bounds the time between two attempts to connect, which gRPC would let grow to two
// minutes: an etcd that is back after a long time is found soon.
func reconnect(conf Config) grpc.ConnectParams {
	params := grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: 2 * conf.DialTimeout}
	params.Backoff.BaseDelay, params.Backoff.MaxDelay = 200*time.Millisecond, 3*time.Second
	return params
}

// Snapshot reads all keys at one revision. Errors wrap ErrUnavailable, but for those of the context.
func (c *Client) Snapshot(ctx context.Context) (registry.Snapshot, error) {
	l, err := c.whole(ctx)
	if err != nil {
		return registry.Snapshot{}, c.explain(ctx, err)
	}
	s := registry.Snapshot{Prefix: c.conf.Prefix, ClusterID: l.Cluster, Revision: registry.Revision(l.Revision), Keys: len(l.Keys)}
	s.Domains, s.Problems = registry.Decode(c.conf.Prefix, append(l.Keys, l.Itself...))
	return s, nil
}

// whole returns the keys below the prefix and the one that is the prefix itself.
func (c *Client) whole(ctx context.Context) (listing, error) {
	l, err := c.list(ctx)
	for tries := 1; tries < 5 && errors.Is(err, rpctypes.ErrCompacted); tries++ {
		l, err = c.list(ctx) // the revision was compacted between two pages: read a newer one
	}
	return l, err
}
