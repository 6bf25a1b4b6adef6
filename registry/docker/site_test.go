package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
	"github.com/hapsync/hapsync/registry/etcd/etcdtest"
	"github.com/hapsync/hapsync/registry/health"
)

// A site is a fake engine, a real etcd and a reconciler between them.
type site struct {
	engine *fakeEngine
	etcd   *embed.Etcd
	client *etcd.Client
}

func newSite(t *testing.T) *site {
	t.Helper()
	server, at := etcdtest.Start(t)
	q := &site{engine: startFakeEngine(t), etcd: server}
	client, err := etcd.New(etcd.Config{Endpoints: []string{at}, Addresses: registry.Addresses{Loopback: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	q.client = client
	return q
}

// A running reconciler, and its log.
type running struct {
	mu     stdsync.Mutex
	text   strings.Builder
	cancel context.CancelFunc
	hurry  context.CancelFunc
	done   chan struct{}
}

func (r *running) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(line)
}

func (r *running) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// register runs a reconciler without resync: only events, or the end of the stream, start a pass.
func (q *site) register(t *testing.T, changes ...func(*Config)) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	alive, hurry := context.WithCancel(context.WithoutCancel(ctx))
	t.Cleanup(hurry)
	r := &running{cancel: cancel, hurry: hurry, done: make(chan struct{})}
	engine, err := Open(q.engine.address())
	if err != nil {
		t.Fatal(err)
	}
	conf := Config{
		Engine: engine, Client: q.client, Settings: Settings{Machine: "box1", IP: netip.MustParseAddr("10.0.0.5"), Addresses: registry.Addresses{Loopback: true}}, Resync: time.Hour,
		Check:  health.Check{Interval: 10 * time.Millisecond, Timeout: time.Second, Rise: 1, Fall: 1},
		Logger: slog.New(slog.NewTextHandler(r, nil)),
	}
	for _, change := range changes {
		change(&conf)
	}
	go func() {
		defer close(r.done)
		New(conf).Run(ctx, alive)
		_ = engine.Close()
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r)
		}
	})
	t.Cleanup(r.ends)
	return r
}

// ends waits for the end, and may be called again.
func (r *running) ends() {
	r.cancel()
	<-r.done
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline, poll := time.After(30*time.Second), time.NewTicker(5*time.Millisecond)
	defer poll.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("not in time: %s: %v", what, err)
		case <-poll.C:
		}
	}
}

// hosts are what the registry has, as text.
func (q *site) hosts(t *testing.T) (all []string) {
	t.Helper()
	s, err := q.client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range s.Domains {
		for _, h := range d.Hosts {
			all = append(all, fmt.Sprintf("%s/%s %s %s", d.Name, h.Name, h.Addr, h.State))
		}
		for _, p := range d.Pending {
			all = append(all, fmt.Sprintf("%s/%s lacks %s", d.Name, p.Host, p.Missing))
		}
	}
	if len(s.Problems) > 0 {
		t.Errorf("the registry has problems: %v", s.Problems)
	}
	return all
}

// has waits until the registry has these hosts and no others.
func (q *site) has(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the registry has %q", want), func() error {
		if got := q.hosts(t); !slices.Equal(got, want) {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
}

// leases waits until there are so many.
func (q *site) leases(t *testing.T, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("there are %d leases", want), func() error {
		got, err := q.etcd.Server.LeaseLeases(t.Context(), &etcdserverpb.LeaseLeasesRequest{})
		if err != nil {
			return err
		}
		if len(got.Leases) != want {
			return fmt.Errorf("there are %d", len(got.Leases))
		}
		return nil
	})
}

func (r *running) says(t *testing.T, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the log has %q", words), func() error {
		for line := range strings.Lines(r.String()) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				return nil
			}
		}
		return errors.New(r.String())
	})
}
