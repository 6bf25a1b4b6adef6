package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/mirror"
	"github.com/hapsync/hapsync/registry/registrytest"
)

// A puppet is a follower in virtual time, and its etcd. Nothing happens unless the test runs it or sends to it.
type puppet struct {
	client  *Client
	mu      sync.Mutex // the test holds it, but while it waits
	down    error      // why etcd cannot be read
	broken  bool       // each watch ends at once
	cut     error      // what a watch ends with
	listing func() listing
	batches chan batch
	lists   int
	told    []registry.Update
	at      []time.Duration // when
	lost    []string
}

// play calls the test in virtual time with a puppet.
func play(t *testing.T, test func(t *testing.T, p *puppet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		conf, err := Config{Prefix: "/p"}.checked()
		if err != nil {
			t.Fatal(err)
		}
		client := &Client{conf: conf, last: new(lastError), relist: make(chan struct{}, 1)}
		p := &puppet{client: client, batches: make(chan batch), cut: errors.New("cut"), listing: func() listing { return oneListed(1, "10.0.0.1") }}
		start := time.Now()
		f := client.follower(func(u registry.Update) {
			p.do(func() { p.told, p.at = append(p.told, u), append(p.at, time.Since(start)) })
		}, func(err error) {
			p.do(func() { p.lost = append(p.lost, fmt.Sprint(err)) })
		})
		f.list, f.watch = p.read, p.tell
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		p.mu.Lock()
		go func() { done <- f.run(ctx) }()
		test(t, p)
		p.mu.Unlock()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("it returned %v", err)
		}
	})
}

func (p *puppet) do(what func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what()
}

func (p *puppet) run(d time.Duration) {
	p.mu.Unlock()
	<-time.After(d)
	synctest.Wait()
	p.mu.Lock()
}

func (p *puppet) send(b batch) {
	p.mu.Unlock()
	p.batches <- b
	synctest.Wait()
	p.mu.Lock()
}

func oneListed(revision int64, ip string) listing {
	return listing{Listing: mirror.Listing{Cluster: 1, Revision: revision, Keys: []registry.KeyValue{{Key: "/p/a.com/s/ip", Value: ip}, {Key: "/p/a.com/s/port", Value: "80"}}}}
}

func (p *puppet) read(context.Context) (l listing, err error) {
	var list func() listing
	p.do(func() { p.lists, err, list = p.lists+1, p.down, p.listing })
	if err != nil {
		return l, err
	}
	return list(), nil
}

func (p *puppet) tell(ctx context.Context, _ listing, to chan<- batch) error {
	to <- batch{}
	var err error
	p.do(func() {
		if p.broken {
			err = errors.New("broken")
		}
	})
	if err != nil {
		return err
	}
	for {
		select {
		case b := <-p.batches:
			if b.revision < 0 {
				return p.cut
			}
			to <- b
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func putBatch(revision int, key, value string) batch {
	return batch{int64(revision), []mirror.Change{{KeyValue: registry.KeyValue{Key: "/p/a.com/" + key, Value: value}, Revision: int64(revision)}}}
}

func TestAnHourWithoutEtcdCostsFewAttemptsAndIsToldOnce(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, p *puppet) {
		p.down = errors.New("connection refused")
		p.run(time.Hour)
		if p.lists < 200 || p.lists > 600 {
			t.Errorf("%d attempts in an hour", p.lists)
		}
		if len(p.lost) != 1 || len(p.told) != 0 {
			t.Errorf("have %q and %v, want the reason once", p.lost, p.told)
		}
		p.down = nil
		p.run(15 * time.Second)
		if len(p.lost) != 2 || p.lost[1] != "<nil>" || len(p.told) != 1 || !p.told[0].All {
			t.Errorf("have %q and %v, want nil and all", p.lost, p.told)
		}
	})
}

func TestAReasonThatChangesDuringAnOutageIsToldOncePerChange(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, p *puppet) {
		p.run(time.Minute)
		goaway := status.Error(codes.Unavailable, `closing transport due to: connection error: desc = "error reading from server: EOF", `+
			`received prior goaway: code: NO_ERROR, debug data: "graceful_stop"`)
		p.down, p.cut = goaway, goaway
		p.send(batch{revision: -1})
		p.run(time.Minute)
		wantLost(t, p, "it is shutting down: check that it runs there")
		p.down = errors.New("dial tcp 127.0.0.1:2379: connect: connection refused")
		p.run(time.Minute)
		wantLost(t, p, "connection refused")
		p.down = context.DeadlineExceeded // no longer what the watch ended with
		p.run(time.Minute)
		wantLost(t, p, "no answer in time")
		for port := range 40 { // the words are the same, or were told just now
			p.down = fmt.Errorf("read tcp 127.0.0.1:%d->127.0.0.1:2379: read: connection reset by peer", 40000+port)
			p.run(5 * time.Second)
			p.down = fmt.Errorf("dial tcp 10.0.0.%d:2379: connect: connection refused", port)
			p.run(5 * time.Second)
		}
		wantLost(t, p, "connection reset by peer")
		p.run(repeated)
		wantLost(t, p, "connection refused")
		p.down = nil
		p.run(15 * time.Second)
		wantLost(t, p, "<nil>")
	})
}

// wantLost wants that lost was called once since the last wantLost.
func wantLost(t *testing.T, p *puppet, reason string) {
	t.Helper()
	if len(p.lost) != 1 || !strings.Contains(p.lost[0], reason) {
		t.Errorf("lost %q, want one: %s", p.lost, reason)
	}
	p.lost = nil
}

func TestAWatchThatEndsAfterALongTimeIsTakenUpAtOnceAndNotTold(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, p *puppet) {
		for n := 1; n < 20; n++ {
			p.run(time.Minute)
			p.send(batch{revision: -1})
			p.run(200 * time.Millisecond)
			if p.lists != n+1 || len(p.told) != n+1 || len(p.lost) != 0 {
				t.Fatalf("%d listings, %d updates, lost %q after %d cuts", p.lists, len(p.told), p.lost, n)
			}
		}
	})
}

func TestAWatchThatEndsAgainAndAgainIsAnOutage(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, p *puppet) {
		p.broken = true
		p.run(time.Hour)
		if p.lists < 200 || p.lists > 600 {
			t.Errorf("%d attempts in an hour", p.lists)
		}
		if len(p.told) != p.lists || len(p.lost) < p.lists || p.lost[0] == "<nil>" {
			t.Errorf("%d updates, lost %d times in %d attempts", len(p.told), len(p.lost), p.lists)
		}
	})
}

func TestADayOfNothingIsNothing(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, p *puppet) {
		p.run(12 * time.Hour)
		p.send(batch{revision: 500}) // it notifies of its progress
		p.run(12 * time.Hour)
		if p.lists != 1 || len(p.told) != 1 || len(p.lost) != 0 {
			t.Errorf("%d listings, %d updates, lost %q", p.lists, len(p.told), p.lost)
		}
		p.send(putBatch(501, "check", "tcp"))
		p.run(0)
		if u := p.told[1]; u.Snapshot.Revision != 501 || !slices.Equal(u.Changed, []string{"a.com"}) {
			t.Errorf("have %+v", u)
		}
	})
}

func TestAHalfChangedHostIsToldWhenTheSettleTimeIsOver(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, p *puppet) {
		p.run(time.Second)
		p.send(putBatch(2, "s/ip", "10.0.0.2"))
		p.run(99 * time.Millisecond)
		if u := p.told[len(p.told)-1]; len(u.Changed) != 0 && !u.All || registrytest.Shown(u) != "s 10.0.0.1:80" {
			t.Errorf("have %+v", u)
		}
		p.run(time.Millisecond)
		if u := p.told[len(p.told)-1]; !slices.Equal(u.Changed, []string{"a.com"}) || registrytest.Shown(u) != "s 10.0.0.2:80" {
			t.Errorf("have %+v", u)
		}
		n := len(p.told)
		p.run(time.Hour)
		if len(p.told) != n {
			t.Errorf("%d further updates", len(p.told)-n)
		}
	})
}

func TestARelistDoesNotEndTheSettleTime(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, p *puppet) {
		p.run(time.Second)
		p.send(putBatch(2, "s/ip", "10.0.0.2"))
		p.run(0)
		p.listing = func() listing { return oneListed(2, "10.0.0.2") }
		p.client.Relist()
		p.run(50 * time.Millisecond)
		if u := p.told[len(p.told)-1]; u.All || registrytest.Shown(u) != "s 10.0.0.1:80" {
			t.Errorf("have %+v", u)
		}
		p.run(50 * time.Millisecond)
		if u := p.told[len(p.told)-1]; registrytest.Shown(u) != "s 10.0.0.2:80" {
			t.Errorf("have %+v", u)
		}
	})
}

func TestChangesAreToldWhileTheRegistryIsReadAgain(t *testing.T) {
	t.Parallel()
	const held = "s held ! /p/a.com/s/weight"
	play(t, func(t *testing.T, p *puppet) {
		p.run(time.Second)
		l := oneListed(1, "10.0.0.1")
		p.listing = func() (read listing) {
			p.do(func() { read = l })
			<-time.After(time.Second)
			return read
		}
		p.client.Relist()
		p.run(50 * time.Millisecond)
		p.client.Relist() // is not forgotten
		p.run(50 * time.Millisecond)
		p.send(putBatch(2, "s/weight", "x"))
		l.Revision, l.Keys = 2, append(l.Keys[:2:2], registry.KeyValue{Key: "/p/a.com/s/weight", Value: "x"})
		p.run(0)
		if u := p.told[1]; u.All || registrytest.Shown(u) != held {
			t.Errorf("have %+v", u)
		}
		p.run(time.Second)
		if u := p.told[2]; u.All || registrytest.Shown(u) != held || u.Snapshot.Revision != 2 || u.Snapshot.Keys != 3 {
			t.Errorf("have %+v", u)
		}
		p.run(time.Minute)
		if u := p.told[3]; p.lists != 3 || len(p.told) != 4 || u.All || registrytest.Shown(u) != held {
			t.Errorf("%d listings, the last update of %d is %+v", p.lists, len(p.told), u)
		}
	})
}

func TestTheReasonIsThatOfTheWatchWhereTheListingJustGetsNoAnswer(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, p *puppet) {
		p.run(time.Minute)
		p.down, p.cut = context.DeadlineExceeded, rpctypes.ErrNoLeader
		p.send(batch{revision: -1})
		p.run(time.Minute)
		if len(p.lost) != 1 || !strings.Contains(p.lost[0], "it has no leader") {
			t.Errorf("lost %q", p.lost)
		}
	})
}

func TestARelistThatFailsIsAnOutageOnlyIfItFailsAgain(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, p *puppet) {
		p.run(time.Minute)
		p.down = errors.New("connection refused")
		p.client.Relist()
		p.run(10 * time.Millisecond)
		if len(p.lost) != 0 {
			t.Errorf("lost %q", p.lost)
		}
		p.run(200 * time.Millisecond)
		if len(p.lost) != 1 {
			t.Errorf("lost %q", p.lost)
		}
	})
}

func TestARushIsJoinedAndARowIsNot(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		apart       time.Duration
		least, most int
	}{
		"one in 100 µs": {100 * time.Microsecond, 5, 20},
		"one in 2 ms":   {2 * time.Millisecond, 1000, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, func(t *testing.T, p *puppet) {
				p.run(time.Second)
				for i := range 1000 {
					p.send(putBatch(i+2, "s/weight", fmt.Sprint(i%200)))
					p.run(test.apart)
				}
				p.run(time.Second)
				if n := len(p.told) - 1; n < test.least || n > test.most {
					t.Errorf("%d updates", n)
				}
				if last := p.told[len(p.told)-1]; last.Snapshot.Revision != 1001 {
					t.Errorf("the last is of %d", last.Snapshot.Revision)
				}
				for i, at := range p.at[1:] {
					if i > 2 && at-p.at[i] > 12*time.Millisecond {
						t.Fatalf("%s between two updates", at-p.at[i])
					}
				}
			})
		})
	}
}
