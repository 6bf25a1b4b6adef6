package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"
)

// A store is etcd, inside this process.
type store struct {
	server   *embed.Etcd
	endpoint string // its URL for clients
}

// startEtcd starts etcd with its data in dir, on port 2379 if that is free, and waits until it answers.
func startEtcd(ctx context.Context, dir string) (*store, error) {
	client, err := freeAddr(2379)
	if err != nil {
		return nil, err
	}
	peer, err := freeAddr(0)
	if err != nil {
		return nil, err
	}
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.LogLevel = "fatal"
	cfg.UnsafeNoFsync = true // the data is deleted with the demo
	cfg.ListenClientUrls = []url.URL{{Scheme: "http", Host: client}}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	cfg.ListenPeerUrls = []url.URL{{Scheme: "http", Host: peer}}
	cfg.AdvertisePeerUrls = cfg.ListenPeerUrls
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	s := &store{server: server, endpoint: "http://" + client}
	select {
	case <-server.Server.ReadyNotify():
		return s, nil
	case err = <-server.Err():
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(30 * time.Second):
		err = errors.New("not ready after 30 s")
	}
	s.close()
	return nil, fmt.Errorf("start etcd: %w", err)
}

func (s *store) put(ctx context.Context, key, value string) error {
	_, err := s.server.Server.Put(ctx, &etcdserverpb.PutRequest{Key: []byte(key), Value: []byte(value)})
	return err
}

// putBoth writes two keys in one transaction.
func (s *store) putBoth(ctx context.Context, key, value, key2, value2 string) error {
	put := func(key, value string) *etcdserverpb.RequestOp {
		return &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestPut{
			RequestPut: &etcdserverpb.PutRequest{Key: []byte(key), Value: []byte(value)},
		}}
	}
	_, err := s.server.Server.Txn(ctx, &etcdserverpb.TxnRequest{Success: []*etcdserverpb.RequestOp{put(key, value), put(key2, value2)}})
	return err
}

func (s *store) close() { s.server.Close() }
