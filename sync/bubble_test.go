package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	stdsync "sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A script is a Follower that tells what a test says.
type script struct {
	updates chan registry.Update
	lost    chan error
	relists atomic.Int64
}

func newScript() *script {
	return &script{updates: make(chan registry.Update), lost: make(chan error)}
}

func (s *script) Follow(ctx context.Context, update func(registry.Update), lost func(error)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u := <-s.updates:
			update(u)
		case err := <-s.lost:
			lost(err)
		}
	}
}

func (s *script) Relist() { s.relists.Add(1) }

// change tells of some domains, as events do.
func (s *script) change(snapshot registry.Snapshot, changed ...string) {
	s.updates <- registry.Update{Snapshot: snapshot, Changed: changed}
}

func (s *script) tell(snapshot registry.Snapshot) {
	s.updates <- registry.Update{Snapshot: snapshot, All: true}
}

// A guarded is a memory that a test changes while an agent works on it. It is the Locker, too.
type guarded struct {
	mu stdsync.Mutex
	*memory
	locked bool
	// amending, where it is not nil, holds each Amend until a value comes.
	amending chan struct{}
	// hang, where it is not zero, is how long haproxy -c is waited for in vain.
	hang    time.Duration
	waiting haproxy.Wait
	// writers are the calls that write the file; two at once are an error.
	writers, overlaps int
}

// change changes what the agent finds from now on.
func (g *guarded) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

func (g *guarded) State(ctx context.Context, domains ...string) (haproxy.State, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(domains) == 0 && g.writers > 0 {
		g.overlaps++
	}
	return g.memory.State(ctx, domains...)
}

func (g *guarded) Recall(domains ...string) (haproxy.State, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.Recall(domains...)
}

func (g *guarded) Commit(ctx context.Context, want haproxy.Config, base haproxy.Digest) error {
	if err := g.verdict(); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.Commit(ctx, want, base)
}

// verdict is haproxy -c: nil where it answers.
func (g *guarded) verdict() error {
	g.mu.Lock()
	hang := g.hang
	g.mu.Unlock()
	if hang == 0 {
		return nil
	}
	<-time.After(hang)
	return fmt.Errorf("haproxy -c %w within %s", haproxy.ErrNoVerdict, hang)
}

// Waiting implements Waiter.
func (g *guarded) Waiting() (haproxy.Wait, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting, g.waiting != haproxy.Wait{}
}

func (g *guarded) Amend(ctx context.Context, backends []haproxy.Backend) error {
	g.change(func() { g.writers++ })
	defer g.change(func() { g.writers-- })
	if g.amending != nil {
		<-g.amending
	}
	if err := g.verdict(); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.Amend(ctx, backends)
}

func (g *guarded) Rewrite(ctx context.Context, want haproxy.Config, base haproxy.Digest) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.Rewrite(ctx, want, base)
}

func (g *guarded) Run(ctx context.Context, changes []haproxy.Change) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.Run(ctx, changes)
}

func (g *guarded) Reload(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.Reload(ctx)
}

// now is how it is at this moment.
func (g *guarded) now() *memory {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := *g.memory
	m.file, m.live = clone(m.file), clone(m.live)
	return &m
}

func (g *guarded) Lock() (func() error, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.locked {
		return nil, haproxy.ErrLocked
	}
	return func() error { return nil }, nil
}

func (g *guarded) Keep(memo []byte) error { g.kept = memo; return nil }

func (g *guarded) Kept() ([]byte, error) { return g.kept, nil }

// An inn is an agent in a bubble of virtual time, with all it works on.
type inn struct {
	*Agent
	registry *script
	haproxy  *guarded
	logged   *bytes.Buffer
}

// inBubble runs an agent over a HAProxy in virtual time.
func inBubble(t *testing.T, m *memory, f func(t *testing.T, i inn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		i := inn{registry: newScript(), haproxy: &guarded{memory: m}, logged: new(bytes.Buffer)}
		agent, err := NewAgent(AgentConfig{
			Follower: i.registry, Target: i.haproxy, Amender: i.haproxy, Recaller: i.haproxy, Locker: i.haproxy, Keeper: i.haproxy, Waiter: i.haproxy,
			Layout: layout, Logger: slog.New(slog.NewTextHandler(i.logged, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		i.Agent = agent
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- agent.Run(ctx) }()
		defer func() {
			stop()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
		f(t, i)
		if i.haproxy.overlaps > 0 {
			t.Errorf("%d whole passes while the file was being written", i.haproxy.overlaps)
		}
	})
}

// elapse lets virtual time pass, and what is due by then happen.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
