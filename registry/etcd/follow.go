package etcd

import (
	"context"
	"errors"
	"slices"
	"strings"
	stdsync "sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/mirror"
)

// Follow calls update with the whole registry, and then after each change, until the context ends; it returns the context's
// error. One goroutine makes the calls. Changes that come during a call, or in quick succession, are joined into the next
// Update.
//
// While the address of a host changes by two puts, the Snapshot keeps its last address until both are there, for Config.Settle
// at most. It does not wait if the writer puts only one of the two.
//
// When etcd cannot be read or watched, Follow calls lost with the reason, an error that wraps ErrUnavailable, and retries. It
// calls lost again when the reason has changed. When etcd is back, it calls lost with nil, and then update with All. It does not
// call lost if the first attempt to reconnect succeeds. Only one Follow may run at a time.
func (c *Client) Follow(ctx context.Context, update func(registry.Update), lost func(error)) error {
	return c.follower(update, lost).run(ctx)
}

func (c *Client) follower(update func(registry.Update), lost func(error)) *follower {
	return &follower{
		client: c, list: c.listAll, watch: c.watch, ended: c.ended, relist: c.relist,
		update: update, lost: lost,
		retry: exponential(100*time.Millisecond, 10*time.Second),
	}
}

// exponential are pauses that double from the first one up to the longest, plus or minus 50 %.
func exponential(first, longest time.Duration) backoff.ExponentialBackOff {
	return backoff.ExponentialBackOff{InitialInterval: first, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: longest}
}

// Relist makes Follow read the whole registry again and deliver an Update, also if nothing differs. It does not wait. Changes are still
// delivered meanwhile.
func (c *Client) Relist() {
	select {
	case c.relist <- struct{}{}:
	default:
	}
}

const (
	steady     = 10 * time.Second // a watch that lasted this long was a good one
	manyBreaks = 3                // this many ends in quick succession are an outage
	queued     = 1024             // batches that may wait for the mirror
)

// A follower keeps a mirror in line with etcd and delivers its updates. One goroutine owns it.
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
	outage outage
	why    error // why the last watch ended
	breaks int   // ends of a session since the last steady one
	pace   pace
}

func (f *follower) run(ctx context.Context) error {
	for {
		up, err := f.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.sessionEnded(ctx, up, err)
		select {
		case <-time.After(f.retry.NextBackOff()):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sessionEnded handles the end of a session. up is how long it watched; 0 if it never did.
func (f *follower) sessionEnded(ctx context.Context, up time.Duration, err error) {
	if up >= steady {
		f.breaks = 0
		f.retry.Reset()
	}
	f.breaks++
	if up > 0 {
		f.why = err
	}
	if up > 0 && f.breaks < manyBreaks {
		return
	}
	if errors.Is(err, context.DeadlineExceeded) && f.why != nil && (!f.outage.told() || answered(f.why)) {
		err = f.why // it says more
	}
	if why := f.client.explain(ctx, err); f.outage.news(why.Error(), time.Now()) {
		f.lost(why)
	}
}

// An outage is what lost was called with since etcd went away. The zero value is none.
type outage struct {
	last    string               // the kind of the last reason
	reasons map[string]time.Time // by kind, when lost was called with it
}

// repeated is how long a reason that was told before is not told again: with several endpoints, reasons may alternate.
const repeated = 10 * time.Minute

func (o *outage) told() bool { return o.reasons != nil }

// news reports whether lost is to be called with the reason, and notes it.
func (o *outage) news(reason string, now time.Time) bool {
	kind := kindOf(reason)
	at, before := o.reasons[kind]
	if before && (kind == o.last || now.Sub(at) < repeated) {
		return false
	}
	if o.reasons == nil {
		o.reasons = map[string]time.Time{}
	}
	o.last, o.reasons[kind] = kind, now
	return true
}

// kindOf is a reason without its words that have digits: addresses, ports and times change with each attempt.
func kindOf(reason string) string {
	words := slices.DeleteFunc(strings.Fields(reason), func(word string) bool { return strings.ContainsAny(word, "0123456789") })
	return strings.Join(words, " ")
}

// session lists and then watches, until something breaks. It returns how long it watched.
func (f *follower) session(ctx context.Context) (up time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var running stdsync.WaitGroup
	defer running.Wait()
	defer cancel()

	select {
	case <-f.relist: // this listing serves it
	default:
	}
	l, err := f.list(ctx)
	if err != nil {
		return 0, err
	}
	s := session{follower: f, batches: make(chan batch, queued), listings: make(chan listed, 1), running: &running}
	var ended error
	from := l.withoutKeys()
	running.Go(func() {
		defer close(s.batches)
		ended = f.watch(ctx, from, s.batches)
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

// begin reports that etcd is back, and delivers the whole registry.
func (f *follower) begin(l listing) {
	if f.outage.told() {
		f.outage = outage{}
		f.lost(nil)
	}
	m := f.mirror
	if m == nil || m.Cluster() != l.Cluster || m.Revision() > registry.Revision(l.Revision) {
		f.mirror = mirror.New(f.client.conf.Prefix, f.client.conf.Settle, f.client.conf.MaxKeys, f.client.conf.Addresses)
		f.mirror.Domains = f.client.conf.Domains
	}
	f.mirror.Begin(l.Listing, time.Now())
	u := f.mirror.Update()
	u.All, u.Changed, u.Heard = true, nil, nil
	f.tell(u)
}

func (f *follower) tell(u registry.Update) {
	f.update(u)
	f.pace.told(time.Now())
}
