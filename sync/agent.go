package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A Follower tells how the registry changes.
type Follower interface {
	// Follow calls update with the registry as it is, at once and at each change, and lost with the reason when it cannot
	// be followed, nil when it can again, all from one goroutine, until ctx ends.
	Follow(ctx context.Context, update func(registry.Update), lost func(error)) error
	// Relist makes Follow read the registry as a whole again.
	Relist()
}

// A Locker makes this process the only writer for the time of a pass.
type Locker interface {
	Lock() (unlock func() error, err error)
}

// An Amender writes what quick passes changed to the managed file.
type Amender interface {
	// Amend brings backends that the file has to what is wanted of them. It may run beside State with domains, and Run.
	Amend(ctx context.Context, backends []haproxy.Backend) error
}

// A Waiter tells what a Target waits for.
type Waiter interface {
	// Waiting returns what takes long right now, the longest first. Any goroutine may call it.
	Waiting() (wait haproxy.Wait, long bool)
}

// AgentConfig says what an Agent works on. Zero durations mean the default.
type AgentConfig struct {
	Follower Follower
	Target   Target
	Amender  Amender
	Recaller Recaller
	Locker   Locker
	Keeper   Keeper
	Waiter   Waiter
	Layout   Layout
	Policy   Policy
	// ReloadInterval is the least time between two reloads: the first comes at once, a postponed one stays pending.
	// The default is 2 s.
	ReloadInterval time.Duration
	// Resync is how often all is read and compared although nothing is known to have changed. The default is 60 s.
	Resync time.Duration
	// Observe is told how long each pass took; nil means that nobody asks.
	Observe func(PassKind, time.Duration)
	Logger  *slog.Logger
}

// A PassKind is what a pass works on.
type PassKind string

// The kinds of passes.
const (
	QuickPass PassKind = "quick" // the servers of some domains, in the process
	FilePass  PassKind = "file"  // what quick passes changed, in the file
	WholePass PassKind = "whole" // everything
)

const (
	defaultReloadInterval = 2 * time.Second
	defaultResync         = time.Minute
	retryFirst            = time.Second
	retryLast             = 30 * time.Second
	drainPoll             = 250 * time.Millisecond
	drainPollLast         = 5 * time.Second
	heldPoll              = 5 * time.Second
	lookPoll              = 2 * time.Second // how often HAProxy is looked at, at next to no cost
	lookPatience          = 3 * time.Second // how long it may take to answer what costs it nothing
	// refusedLast is how long it takes at most until a reload is tried again that HAProxy refused: each try may keep
	// clients out for two seconds, where an address is in use.
	refusedLast = 5 * time.Minute
	// fileDelay is how long the file may lag behind the process, so that one commit serves all that gathers.
	fileDelay = time.Second
	// maxQuick is the number of domains from which on a whole pass is the cheaper one.
	maxQuick = 500
)

// An Agent keeps HAProxy in line with the registry for as long as it runs. One goroutine makes the passes, one
// follows the registry and wakes it, and one writes the file while passes over some domains go on.
type Agent struct {
	cfg  AgentConfig
	wake chan struct{} // of size one
	news chan struct{} // of size one: the status has changed

	mu     stdsync.Mutex // guards what follows
	inbox  inbox
	status Status

	// The rest is the passes'.
	past      past
	quickly   bool      // the last whole pass left nothing to do that a quick one could not do
	reloadAt  time.Time // when a reload is allowed again
	postponed bool      // a reload waits for that
	failures  int       // passes in a row that failed
	hold      string    // why the last pass was held
	down      string    // why HAProxy did not answer then
	servers   int       // how many managed servers are wanted
	wholeAt   time.Time // when a whole pass is due; zero where none is but for a resync
	wholeEnd  time.Time // when the last one ended
	resyncAt  time.Time // when all is read again
	seen      sight     // what was seen of HAProxy last
	drains    retry     // of the unfinished domains
	refused   retry     // of a reload that was refused, with refusal
	refusal   string
	file      filing
	lock      sharedLock
	kept      []byte // what the Keeper has
}

// A retry is when something is tried again, and how long it waits after that.
type retry struct {
	at   time.Time
	wait time.Duration
}

// A sight is what tells that HAProxy was restarted, reloaded or stopped, or its file edited, by someone else.
type sight struct {
	worker       string
	digest, base haproxy.Digest
	down         bool
}

// inbox is what is known of the registry; changed and expired (as in registry.Update), all, and that there are news, are
// not looked at yet.
type inbox struct {
	snapshot         registry.Snapshot
	known, news, all bool
	asked            bool // somebody wants to see all done again
	changed, expired map[string]bool
	lost             error
}

// NewAgent returns an Agent, or an error where the configuration makes no sense.
func NewAgent(cfg AgentConfig) (*Agent, error) {
	if cfg.Follower == nil || cfg.Amender == nil || cfg.Recaller == nil || cfg.Locker == nil || cfg.Keeper == nil || cfg.Waiter == nil || cfg.Logger == nil {
		return nil, errors.New("a follower, an amender, a recaller, a locker, a keeper, a waiter and a logger are needed")
	}
	if cfg.ReloadInterval == 0 {
		cfg.ReloadInterval = defaultReloadInterval
	}
	if cfg.Resync == 0 {
		cfg.Resync = defaultResync
	}
	if cfg.ReloadInterval < 0 || cfg.Resync < 0 {
		return nil, errors.New("the reload interval and the resync interval must be positive")
	}
	if cfg.Observe == nil {
		cfg.Observe = func(PassKind, time.Duration) {}
	}
	a := &Agent{cfg: cfg, wake: make(chan struct{}, 1), news: make(chan struct{}, 1), past: newPast(), lock: sharedLock{locker: cfg.Locker}}
	a.status.Reasons = []string{notRead}
	_, err := a.syncer(registry.Snapshot{})
	return a, err
}

// Inherit takes over the counts and the memory of an agent that has ended. It is called before Run.
func (a *Agent) Inherit(from *Agent) {
	a.past, a.servers, a.status = from.past, from.servers, from.Status()
	a.past.inLine = ""
	a.status.Lost = "" // another follower has yet to say so
	a.status.Reasons = a.status.reasons(true)
}

// syncer makes the passes over one snapshot.
func (a *Agent) syncer(snapshot registry.Snapshot) (*Syncer, error) {
	past := a.past
	if time.Now().Before(a.refused.at) {
		past.refusal = fmt.Errorf("%w to reload; it is asked again at %s: %s", haproxy.ErrRefused, a.refused.at.Format(time.TimeOnly), a.refusal)
	}
	return New(Config{
		Source: fixed(snapshot), Target: a.cfg.Target, Layout: a.cfg.Layout, Policy: a.cfg.Policy,
		MayReload: func() bool { return !time.Now().Before(a.reloadAt) }, past: past,
	})
}

// fixed is a Source that has been read already.
type fixed registry.Snapshot

// Snapshot implements Source.
func (f fixed) Snapshot(context.Context) (registry.Snapshot, error) { return registry.Snapshot(f), nil }

// Run follows the registry and makes passes until ctx ends; a pass that has begun is finished, and the file gets what
// the process has. Else HAProxy stays as it is. The error is ctx's.
func (a *Agent) Run(ctx context.Context) error {
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		_ = a.cfg.Follower.Follow(ctx, a.updated, a.lost)
	}()
	if a.past.confirmed.Revision == 0 {
		a.recall()
	}
	a.resyncAt = time.Now().Add(a.cfg.Resync)
	timer := time.NewTimer(lookPoll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			a.fileAll(ctx)
			<-followed
			return ctx.Err()
		case err := <-a.file.done:
			a.filed(err)
		case <-a.wake:
		case <-timer.C:
			if seen, err := a.look(ctx); err != nil || a.file.done == nil && seen != a.seen {
				a.note(err)
				a.wholeAt, a.refused = time.Now(), retry{}
			}
		}
		a.step(ctx)
		timer.Reset(min(time.Until(a.next()), lookPoll))
	}
}

// look takes a cheap look at HAProxy: at no domain at all.
func (a *Agent) look(ctx context.Context) (sight, error) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	st, err := a.cfg.Target.State(ctx, nobody)
	return sightOf(st), err
}

func sightOf(st haproxy.State) sight {
	return sight{st.Worker, st.Digest, st.BaseDigest, st.Down != nil}
}

// Resync makes the agent read and compare everything now.
func (a *Agent) Resync() {
	a.mu.Lock()
	a.inbox.all, a.inbox.news, a.inbox.asked = true, true, true
	a.mu.Unlock()
	a.cfg.Follower.Relist()
	a.nudge()
}

// tell wakes Report.
func (a *Agent) tell() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}

func (a *Agent) nudge() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *Agent) updated(u registry.Update) {
	a.mu.Lock()
	in := &a.inbox
	in.snapshot, in.known, in.news, in.all = u.Snapshot, true, true, in.all || u.All
	if in.changed == nil {
		in.changed, in.expired = map[string]bool{}, map[string]bool{}
	}
	for _, name := range u.Changed {
		in.changed[name] = true
	}
	for _, name := range u.Expired {
		in.expired[name] = true
	}
	a.status.prefix = u.Snapshot.Prefix
	a.status.Seen, a.status.Heard = u.Snapshot.Revision, u.Snapshot.Changed
	if a.status.Behind.IsZero() {
		a.status.Behind = time.Now()
	}
	a.mu.Unlock()
	a.nudge()
}

// take empties the inbox of what is to be looked at.
func (a *Agent) take() inbox {
	a.mu.Lock()
	defer a.mu.Unlock()
	in := a.inbox
	a.inbox.news, a.inbox.all, a.inbox.asked, a.inbox.changed, a.inbox.expired = false, false, false, nil, nil
	return in
}

func (a *Agent) lost(err error) {
	a.mu.Lock()
	a.inbox.lost = err
	a.status.Lost = text(err)
	a.status.Reasons = a.status.reasons(a.inbox.known)
	a.tell()
	a.mu.Unlock()
	if err != nil {
		a.cfg.Logger.Warn("the registry is lost, HAProxy stays as it is", "error", err)
	} else {
		a.cfg.Logger.Info("the registry is back")
	}
}
