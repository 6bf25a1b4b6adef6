package etcd

import (
	"context"
	"errors"
	"io"
	stdsync "sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hapsync/hapsync/registry/mirror"
)

// A batch is what one answer of the watch says: whole revisions, or, without changes, a revision that etcd has reached. The
// first batch says that the watch has begun.
type batch struct {
	revision int64 // 0 if all changes are of the prefix itself
	changes  []mirror.Change
}

// noWatch is the id of no watch. A client cannot choose ids, because a grpc-proxy assigns its own: they come with the answers.
const noWatch = -1

// A watcher is one watch stream. It does not use the watch of etcd's client, which silently survives a lost connection and even
// a change of the cluster, where it waits for a revision that may come much later. Here each end of the stream is visible, and
// the keys are read again.
type watcher struct {
	stream  grpc.BidiStreamingClient[etcdserverpb.WatchRequest, etcdserverpb.WatchResponse]
	prefix  string
	from    listing
	below   int64 // id of the watch of the keys below the prefix; noWatch until it has begun
	begun   func()
	partial []mirror.Change // of a response in fragments
}

// watch sends the changes after the listing, until the context or the watch ends. It always returns an error. It tries the next
// member if one cannot watch.
func (c *Client) watch(ctx context.Context, from listing, batches chan<- batch) (err error) {
	_ = c.askNext(ctx, func() error {
		var begun bool
		begun, err = c.watchOnce(ctx, from, batches)
		if begun {
			return nil
		}
		return err
	})
	return err
}

// watchOnce is one stream. It reports whether the watch has begun, and always returns an error.
func (c *Client) watchOnce(ctx context.Context, from listing, batches chan<- batch) (begun bool, err error) {
	ctx, cancel := context.WithCancelCause(clientv3.WithRequireLeader(ctx))
	defer cancel(nil)
	late := time.AfterFunc(c.conf.DialTimeout, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	w := &watcher{prefix: c.conf.Prefix, from: from, below: noWatch, begun: func() { begun = late.Stop() }}
	err = c.watching(ctx, w, batches)
	if cause := context.Cause(ctx); cause != nil {
		return begun, cause
	}
	return begun, rpctypes.Error(err)
}

func (c *Client) watching(ctx context.Context, w *watcher, batches chan<- batch) (err error) {
	client, err := c.connected(ctx)
	if err != nil {
		return err
	}
	w.stream, err = etcdserverpb.NewWatchClient(client.ActiveConnection()).Watch(ctx, grpc.MaxCallRecvMsgSize(maxPage))
	if err != nil {
		return err
	}
	root := c.conf.Prefix + "/"
	if err := w.create(root, clientv3.GetPrefixRangeEnd(root)); err != nil {
		return err
	}
	for {
		b, whole, err := w.receive()
		if err != nil {
			return err
		}
		if !whole {
			continue
		}
		select {
		case batches <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *watcher) create(key, end string) error {
	err := w.stream.Send(&etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CreateRequest{
		CreateRequest: &etcdserverpb.WatchCreateRequest{
			Key: []byte(key), RangeEnd: []byte(end), StartRevision: w.from.Revision + 1,
			ProgressNotify: true, PrevKv: true, Fragment: true,
		},
	}})
	for errors.Is(err, io.EOF) { // the stream has ended: the last thing to receive is why (such as a learner's answer)
		switch _, why := w.stream.Recv(); {
		case errors.Is(why, io.EOF):
			return canceled("")
		case why != nil:
			return why
		}
	}
	return err
}

// receive returns the next batch, or reports that it is not whole yet.
func (w *watcher) receive() (b batch, whole bool, err error) {
	r, err := w.stream.Recv()
	switch {
	case errors.Is(err, io.EOF):
		return batch{}, false, canceled("")
	case err != nil:
		return batch{}, false, err
	case r.Header.GetClusterId() != w.from.Cluster && !unnamed(r):
		return batch{}, false, errClusters
	case r.CompactRevision != 0:
		return batch{}, false, rpctypes.ErrCompacted
	case r.Canceled:
		return batch{}, false, canceled(r.CancelReason)
	case r.Created:
		return w.created(r.WatchId)
	}
	for _, event := range r.Events {
		w.partial = append(w.partial, changeOf(w.prefix, event))
	}
	if r.Fragment {
		return batch{}, false, nil
	}
	b, w.partial = batch{changes: w.partial}, nil
	if n := len(b.changes); n > 0 && r.WatchId == w.below {
		b.revision = b.changes[n-1].Revision
	} else if r.WatchId == w.below {
		b.revision = r.Header.GetRevision()
	}
	return b, true, nil
}

// unnamed reports whether an answer has no cluster ID. A grpc-proxy (3.7.3) sends none when a watch begins that several agents
// share.
func unnamed(r *etcdserverpb.WatchResponse) bool { return r.Created && r.Header.GetClusterId() == 0 }

// created notes that a watch has begun: first that of the keys below the prefix, then, if the user may read it, that of the key
// that is the prefix itself.
func (w *watcher) created(id int64) (b batch, whole bool, err error) {
	if w.below == noWatch {
		w.below = id
		if !w.from.hidden {
			return batch{}, false, w.create(w.prefix, "")
		}
	}
	w.begun()
	return batch{}, true, nil
}

// canceled turns a reason that etcd sent as text into an error.
func canceled(reason string) error {
	err := rpctypes.Error(status.Error(codes.FailedPrecondition, reason))
	if reason == "" {
		err = errors.New("it ended the watch")
	}
	return err
}

func changeOf(prefix string, event *mvccpb.Event) mirror.Change {
	kv := event.Kv
	c := mirror.Change{
		KeyValue: mirror.Kept(prefix, kv.Key, kv.Value, kv.CreateRevision),
		Revision: kv.ModRevision,
		Heard:    time.Now(),
		Deleted:  event.Type == mvccpb.Event_DELETE,
	}
	if c.Deleted {
		c.Lease = event.PrevKv.GetLease()
	}
	return c
}

// Limits of the look at leases: it delays a change, so it must be short. A lease that was not looked at in time counts as
// living.
const (
	leaseTimeout = 250 * time.Millisecond
	leasesAtOnce = 16
)

// ended returns which of the leases have ended.
func (c *Client) ended(ctx context.Context, leases []int64) map[int64]bool {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	var mu stdsync.Mutex
	var running stdsync.WaitGroup
	ended := map[int64]bool{}
	client, err := c.connected(ctx)
	if err != nil {
		return ended
	}
	slots := make(chan struct{}, leasesAtOnce)
	for _, lease := range leases {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		running.Go(func() {
			defer func() { <-slots }()
			left, err := client.TimeToLive(ctx, clientv3.LeaseID(lease))
			mu.Lock()
			defer mu.Unlock()
			ended[lease] = err == nil && left.TTL <= 0
		})
	}
	running.Wait()
	return ended
}
