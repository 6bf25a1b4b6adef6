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

// A guarded is a fake that a test changes while an agent works on it.
type guarded struct {
	mu stdsync.Mutex
	*fake
	locked bool
	// writing, where it is not nil, holds each Write until a value comes.
	writing chan struct{}
	// slowWrite and slowReload are how long a Write and a Reload take.
	slowWrite, slowReload time.Duration
	// settles is how long the new worker has answered when a Reload ends.
	settles time.Duration
	// previous is the file before the first Write under the lock, as haproxy/driver has it.
	previous *haproxy.Config
	viewer   interface {
		Servers(ctx context.Context, domains ...string) ([]haproxy.ServerStatus, error)
	}
	// hang, where it is not zero, is how long haproxy -c is waited for in vain.
	hang    time.Duration
	waiting haproxy.Wait
	// slowRead is how long it takes to read everything.
	slowRead time.Duration
	// writers are the calls that write the file; two at once are an error.
	writers, overlaps int
}

// change changes what the agent finds from now on.
func (g *guarded) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

func (g *guarded) Identity(ctx context.Context) (haproxy.Identity, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fake.Identity(ctx)
}

func (g *guarded) State(ctx context.Context, scope haproxy.Scope) (haproxy.State, error) {
	if scope.All() {
		<-time.After(g.slowRead)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fake.State(ctx, scope)
}

func (g *guarded) Look(ctx context.Context) (func(context.Context) (haproxy.Look, error), error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	look, err := g.fake.Look(ctx)
	return func(ctx context.Context) (haproxy.Look, error) {
		<-time.After(g.slowRead / 2)
		defer func() { <-time.After(g.slowRead / 2) }()
		g.mu.Lock()
		defer g.mu.Unlock()
		return look(ctx)
	}, err
}

func (g *guarded) Forget(domains ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fake.Forget(domains...)
}

func (g *guarded) Cached(scope haproxy.Scope) (haproxy.State, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fake.Cached(scope)
}

func (g *guarded) Read() (haproxy.Config, haproxy.Digest, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fake.Read()
}

func (g *guarded) Keep(notes []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fake.Keep(notes)
}

func (g *guarded) Kept() ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fake.Kept()
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

// Servers implements Process.
func (g *guarded) Servers(ctx context.Context, domains ...string) ([]haproxy.ServerStatus, error) {
	g.mu.Lock()
	viewer := g.viewer
	g.mu.Unlock()
	if viewer == nil {
		return nil, nil
	}
	return viewer.Servers(ctx, domains...)
}

// Waiting implements Process.
func (g *guarded) Waiting() (haproxy.Wait, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting, g.waiting != haproxy.Wait{}
}

func (g *guarded) Write(ctx context.Context, e haproxy.Edit) error {
	g.change(func() { g.writers++ })
	defer g.change(func() { g.writers-- })
	<-time.After(g.slowWrite)
	if g.writing != nil {
		<-g.writing
	}
	if err := g.verdict(); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.writers > 1 {
		g.overlaps++
	}
	g.before()
	return g.fake.Write(ctx, e)
}

// before remembers the file, which a refused reload puts back.
func (g *guarded) before() {
	if g.previous == nil {
		c := clone(g.file)
		g.previous = &c
	}
}

func (g *guarded) Run(ctx context.Context, changes []haproxy.Change) (haproxy.Outcome, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fake.Run(ctx, changes)
}

func (g *guarded) Reload(ctx context.Context) error {
	<-time.After(g.slowReload)
	defer func() { <-time.After(g.settles) }()
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.fake.Reload(ctx)
	if err != nil && g.previous != nil {
		g.file = *g.previous
		g.version++
		g.recollection.version = g.version
	}
	g.previous = nil
	return err
}

// now is how it is at this moment.
func (g *guarded) now() *fake {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := *g.fake
	m.file, m.live = clone(m.file), clone(m.live)
	return &m
}

func (g *guarded) Loaded() (haproxy.Config, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fake.Loaded()
}

func (g *guarded) Lock() (func() error, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.locked {
		return nil, haproxy.ErrLocked
	}
	g.previous = nil
	return func() error { return nil }, nil
}

// An inn is an agent in a bubble of virtual time, with all it works on.
type inn struct {
	*Agent
	registry *script
	haproxy  *guarded
	logged   *tape
}

// A tape has what an agent logged, and the entries of its journal. A test may use it at any time: that an agent waits in the bubble
// does not order what it does afterwards.
type tape struct {
	mu      stdsync.Mutex
	text    bytes.Buffer
	entries []Entry
}

func (l *tape) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *tape) enter(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
}

func (l *tape) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// take empties the tape.
func (l *tape) take() (text string, entries []Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, entries = l.text.String(), l.entries
	l.text.Reset()
	l.entries = nil
	return text, entries
}

// inBubble runs an agent over a HAProxy in virtual time.
func inBubble(t *testing.T, m *fake, f func(t *testing.T, i inn)) {
	t.Helper()
	inBubbleWith(t, m, func(*AgentConfig) {}, f)
}

// inBubbleWith is inBubble with other settings.
func inBubbleWith(t *testing.T, m *fake, set func(*AgentConfig), f func(t *testing.T, i inn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		i := inn{registry: newScript(), haproxy: &guarded{fake: m}, logged: new(tape)}
		cfg := AgentConfig{
			Follower: i.registry, Process: i.haproxy, File: i.haproxy,
			Layout: layout, Logger: slog.New(slog.NewTextHandler(i.logged, nil)),
			Journal: i.logged.enter,
		}
		set(&cfg)
		agent, err := NewAgent(cfg)
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
		i.isCalm(t)
		if i.haproxy.overlaps > 0 {
			t.Errorf("%d writers at once", i.haproxy.overlaps)
		}
	})
}

// isCalm fails the test if the agent, to which nothing new is told, is busy all the same: with looks at HAProxy, one after the other.
func (i inn) isCalm(t *testing.T) {
	t.Helper()
	const seconds = 20
	looks := func() int { m := i.haproxy.now(); return m.looks + m.reads }
	before := looks()
	elapse(seconds * time.Second)
	if n := looks() - before; n > 3*seconds {
		t.Errorf("%d looks at HAProxy in %d s though nothing is new", n, seconds)
	}
}

// elapse lets virtual time pass, and what is due by then happen.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
