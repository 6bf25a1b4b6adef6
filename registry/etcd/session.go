package etcd

import (
	"context"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/mirror"
)

// A session is one watch, from its listing to its end.
type session struct {
	*follower
	batches  chan batch // closed at the end of the watch
	listings chan listed
	running  *stdsync.WaitGroup

	listing bool            // Relist is being served
	since   []mirror.Change // the changes that came meanwhile
}

// listed is the result of a listing for Relist.
type listed struct {
	listing
	err error
}

// loop returns nil when the watch has ended.
func (s *session) loop(ctx context.Context) error {
	for {
		var settled <-chan time.Time
		if next := s.mirror.NextSettle(); !next.IsZero() {
			settled = time.After(time.Until(next))
		}
		relist := s.relist
		if s.listing {
			relist = nil // the next one waits
		}
		select {
		case b, ok := <-s.batches:
			if !ok {
				return nil
			}
			s.pace.wait(ctx)
			s.take(ctx, s.gather(b))
		case <-settled:
			if s.mirror.Settle(time.Now()) {
				s.tell(s.mirror.Update())
			}
		case <-relist:
			s.read(ctx)
		case l := <-s.listings:
			if err := s.reread(l); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// gather returns the batch and all that are waiting.
func (s *session) gather(b batch) []batch {
	batches := []batch{b}
	for {
		select {
		case b, ok := <-s.batches:
			if !ok {
				return batches
			}
			batches = append(batches, b)
		default:
			return batches
		}
	}
}

// take applies the batches to the mirror and delivers an update.
func (s *session) take(ctx context.Context, batches []batch) {
	var changes []mirror.Change
	for _, b := range batches {
		changes = append(changes, b.changes...)
		s.mirror.Reached(registry.Revision(b.revision))
	}
	if len(changes) == 0 {
		return
	}
	s.markExpired(ctx, changes)
	if s.listing {
		s.since = append(s.since, changes...)
	}
	s.mirror.Apply(changes, time.Now())
	s.tell(s.mirror.Update())
}

// markExpired marks deletions that are due to the end of a lease.
func (s *session) markExpired(ctx context.Context, changes []mirror.Change) {
	var leases []int64
	asked := map[int64]bool{}
	for _, c := range changes {
		if s.mirror.IsAddress(c.Key) && c.Lease != 0 && !asked[c.Lease] {
			asked[c.Lease] = true
			leases = append(leases, c.Lease)
		}
	}
	if len(leases) == 0 {
		return
	}
	ended := s.ended(ctx, leases)
	for i := range changes {
		changes[i].Expired = ended[changes[i].Lease]
	}
}

// read lists the registry again while the watch goes on.
func (s *session) read(ctx context.Context) {
	s.listing = true
	s.running.Go(func() {
		l, err := s.list(ctx)
		s.listings <- listed{l, err}
	})
}

func (s *session) reread(l listed) error {
	if l.err == nil && l.Cluster != s.mirror.Cluster() {
		l.err = errClusters
	}
	if l.err != nil {
		return l.err
	}
	s.mirror.Become(l.Listing, s.since, time.Now())
	s.listing, s.since = false, nil
	s.tell(s.mirror.Update())
	return nil
}

// A pace joins changes that come in quick succession. A change that comes a while after the one before goes out at once.
type pace struct {
	last time.Time
	gap  time.Duration
}

const (
	quick  = time.Millisecond
	maxGap = 10 * time.Millisecond
)

func (p *pace) told(now time.Time) { p.last = now }

// wait waits until the next Update may be made.
func (p *pace) wait(ctx context.Context) {
	if time.Since(p.last) > quick {
		p.gap = 0
		return
	}
	p.gap = min(2*p.gap+quick, maxGap)
	select {
	case <-time.After(p.gap):
	case <-ctx.Done():
	}
}
