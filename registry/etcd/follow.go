package etcd

import (
	"context"
	"errors"
	stdsync "sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/mirror"
)

// Follow calls update with the whole registry, and then whenever something changes, until the
// context ends, whose error it returns. The calls come from one goroutine, one after the other; what
// happens during a call, and in quick succession, is joined into the next Update.
//
// A host whose address changes by two puts keeps the last one in the Snapshot until both are there,
// for the time Config.Settle at most, unless its writer is one that puts one of the two alone.
//
// When etcd cannot be read or watched, Follow calls lost with the reason, an error that wraps
// ErrUnavailable, and goes on trying; when it can again, it calls lost with nil and then update with
// All. A connection that comes back at the first attempt is not told. Only one Follow may run at a time.
func (c *Client) Follow(ctx context.Context, update func(registry.Update), lost func(error)) error {
	return c.follower(update, lost).run(ctx)
}

func (c *Client) follower(update func(registry.Update), lost func(error)) *follower {
	return &follower{
		client: c, list: c.whole, watch: c.watch, ended: c.ended, relist: c.relist,
		update: update, lost: lost,
		retry: backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 10 * time.Second},
	}
}

// Relist makes Follow read the registry whole and deliver All. It does not wait for it. Changes are
// delivered meanwhile.
func (c *Client) Relist() {
	select {
	case c.relist <- struct{}{}:
	default:
	}
}

const (
	steady     = 10 * time.Second // after so long, a watch that ends has been a good one
	manyBreaks = 3                // so many ends in quick succession are an outage
	queued     = 1024             // batches that wait for the mirror; then etcd waits
)

// A follower keeps a mirror in line with etcd and tells of it. One goroutine owns it.
type follower struct {
	client *Client
	list   func(context.Context) (listing, error)
	watch  func(context.Context, listing, chan<- batch) error
	ended  func(context.Context, []int64) map[int64]bool
	relist <-chan struct{}
	update func(registry.Update)
	lost   func(error)
	retry  backoff.ExponentialBackOff

	mirror *mirror.Mirror
	away   bool  // lost has been called
	why    error // the last watch ended with
	breaks int   // ends of a session since the last steady one
	pace   pace
}

func (f *follower) run(ctx context.Context) error {
	for {
		up, err := f.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.broke(ctx, up, err)
		select {
		case <-time.After(f.retry.NextBackOff()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// broke takes note that a session ended, which was up for some time, or never.
func (f *follower) broke(ctx context.Context, up time.Duration, err error) {
	if up >= steady {
		f.breaks = 0
		f.retry.Reset()
	}
	f.breaks++
	if up > 0 {
		f.why = err
	}
	outage := up == 0 || f.breaks >= manyBreaks
	if outage && !f.away {
		f.away = true
		if errors.Is(err, context.DeadlineExceeded) && f.why != nil {
			err = f.why // says more
		}
		f.lost(f.client.explain(ctx, err))
	}
}

// session lists and then watches, until something breaks. It returns how long the watch went on.
func (f *follower) session(ctx context.Context) (up time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var running stdsync.WaitGroup
	defer running.Wait()
	defer cancel()

	select {
	case <-f.relist: // this is one
	default:
	}
	l, err := f.list(ctx)
	if err != nil {
		return 0, err
	}
	s := session{follower: f, batches: make(chan batch, queued), listings: make(chan listed, 1), running: &running}
	var ended error
	running.Go(func() {
		defer close(s.batches)
		ended = f.watch(ctx, l, s.batches)
	})
	first, ok := <-s.batches
	if !ok {
		return 0, ended
	}
	began := time.Now()
	f.begin(l)
	s.take(ctx, []batch{first})
	err = s.loop(ctx)
	if err == nil {
		err = ended
	}
	return max(time.Since(began), 1), err
}

// begin tells that etcd is there, and all of it.
func (f *follower) begin(l listing) {
	if f.away {
		f.away = false
		f.lost(nil)
	}
	m := f.mirror
	if m == nil || m.Cluster() != l.Cluster || m.Revision() > registry.Revision(l.Revision) {
		f.mirror = mirror.New(f.client.conf.Prefix, f.client.conf.Settle, f.client.conf.MaxKeys, f.client.conf.Addresses)
		f.mirror.Domains = f.client.conf.Domains
	}
	f.mirror.Begin(l.Listing, time.Now())
	f.tellAll()
}

func (f *follower) tellAll() {
	u := f.mirror.Update()
	u.All, u.Changed, u.Heard = true, nil, nil
	f.tell(u)
}

func (f *follower) tell(u registry.Update) {
	f.update(u)
	f.pace.told(time.Now())
}
