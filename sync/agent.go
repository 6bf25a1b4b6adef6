package sync

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
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

// AgentConfig says what an Agent works on. Zero durations mean the default.
type AgentConfig struct {
	Follower Follower
	Target   Target
	Locker   Locker
	Layout   Layout
	Policy   Policy
	// ReloadInterval is the least time between two reloads: the first comes at once, a postponed one stays pending.
	// The default is 2 s.
	ReloadInterval time.Duration
	// Resync is how often all is read and compared although nothing is known to have changed. The default is 60 s.
	Resync time.Duration
	Logger *slog.Logger
}

const (
	defaultReloadInterval = 2 * time.Second
	defaultResync         = time.Minute
	retryFirst            = time.Second
	retryLast             = 30 * time.Second
	drainPoll             = 250 * time.Millisecond
	heldPoll              = 5 * time.Second
	lookPoll              = 2 * time.Second // how often HAProxy is looked at, at next to no cost
	// fileDelay is how long the file may lag behind the process, so that one commit serves all that gathers.
	fileDelay = time.Second
	// removalWindow is how long a removal counts for the next one's safeguard.
	removalWindow = time.Minute
	// maxQuick is the number of domains from which on a whole pass is the cheaper one.
	maxQuick = 500
)

// An Agent keeps HAProxy in line with the registry for as long as it runs. One goroutine makes the passes, another
// one follows the registry and wakes it.
type Agent struct {
	cfg  AgentConfig
	wake chan struct{} // of size one

	mu     stdsync.Mutex // guards what follows
	inbox  inbox
	status Status

	// The rest is the passes'.
	confirmed registry.Snapshot // the last one that HAProxy was brought in line with
	good      bool              // the last whole pass left nothing to do
	reloadAt  time.Time         // when a reload is allowed again
	fileAt    time.Time         // when the file is due; zero where it is in line
	failures  int               // passes in a row that failed
	hold      string            // why the last pass was held
	servers   int               // how many managed servers there are
	removed   []removal         // what was removed not long ago
	leaving   map[string]int    // what quick passes removed since the last whole one, by backend
	nextAt    time.Time         // when the next pass is due at the latest
	resyncAt  time.Time         // when all is read again
	seen      sight             // what was seen of HAProxy last
}

// A sight is what tells that HAProxy was restarted, reloaded or stopped, or its file edited, by someone else.
type sight struct {
	worker string
	digest haproxy.Digest
	down   bool
}

// A removal is how many servers went at some time.
type removal struct {
	at    time.Time
	count int
}

// inbox is what is known of the registry; changed and expired (as in registry.Update), and all, are not looked at yet.
type inbox struct {
	snapshot         registry.Snapshot
	known, all       bool
	changed, expired map[string]bool
	lost             error
}

// NewAgent returns an Agent, or an error where the configuration makes no sense.
func NewAgent(cfg AgentConfig) (*Agent, error) {
	if cfg.Follower == nil || cfg.Locker == nil || cfg.Logger == nil {
		return nil, errors.New("a follower, a locker and a logger are needed")
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
	a := &Agent{cfg: cfg, wake: make(chan struct{}, 1), leaving: map[string]int{}}
	a.status.Reasons = []string{"the registry has not been read yet"}
	_, err := a.syncer(registry.Snapshot{})
	return a, err
}

// syncer makes the passes over one snapshot.
func (a *Agent) syncer(snapshot registry.Snapshot) (*Syncer, error) {
	return New(Config{
		Source: fixed(snapshot), Target: a.cfg.Target, Layout: a.cfg.Layout, Policy: a.cfg.Policy,
		Earlier: a.confirmed, Removed: removals{earlier: a.recentlyRemoved()}, MayReload: func() bool { return !time.Now().Before(a.reloadAt) },
	})
}

// fixed is a Source that has been read already.
type fixed registry.Snapshot

// Snapshot implements Source.
func (f fixed) Snapshot(context.Context) (registry.Snapshot, error) { return registry.Snapshot(f), nil }

// Run follows the registry and makes passes until ctx ends; a pass that has begun is finished. What HAProxy has stays
// as it is. The error is ctx's.
func (a *Agent) Run(ctx context.Context) error {
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		_ = a.cfg.Follower.Follow(ctx, a.updated, a.lost)
	}()
	a.resyncAt = time.Now().Add(a.cfg.Resync)
	a.nextAt = a.resyncAt
	timer := time.NewTimer(lookPoll)
	defer timer.Stop()
	for {
		woken := false
		select {
		case <-ctx.Done():
			<-followed
			return ctx.Err()
		case <-a.wake:
			woken = true
		case <-timer.C:
		}
		if woken || !time.Now().Before(a.nextAt) || a.look(ctx) != a.seen {
			a.step(ctx)
		}
		timer.Reset(min(time.Until(a.nextAt), lookPoll))
	}
}

// step makes one pass, and has the registry read as a whole where that is due.
func (a *Agent) step(ctx context.Context) {
	if !time.Now().Before(a.resyncAt) {
		a.resyncAt = time.Now().Add(a.cfg.Resync)
		a.cfg.Follower.Relist()
	}
	pause := a.pass(ctx)
	a.nextAt = time.Now().Add(min(pause, time.Until(a.resyncAt)))
}

// look takes a cheap look at HAProxy: at no domain at all.
func (a *Agent) look(ctx context.Context) sight {
	st, err := a.cfg.Target.State(ctx, "hapsync.invalid")
	if err != nil {
		return sight{}
	}
	return sight{st.Worker, st.Digest, st.Down != nil}
}

// Resync makes the agent read and compare everything now.
func (a *Agent) Resync() {
	a.cfg.Follower.Relist()
	a.nudge()
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
	in.snapshot, in.known, in.all = u.Snapshot, true, in.all || u.All
	if in.changed == nil {
		in.changed, in.expired = map[string]bool{}, map[string]bool{}
	}
	for _, name := range u.Changed {
		in.changed[name] = true
	}
	for _, name := range u.Expired {
		in.expired[name] = true
	}
	a.status.Seen = u.Snapshot.Revision
	a.mu.Unlock()
	a.nudge()
}

// take empties the inbox of what is to be looked at.
func (a *Agent) take() inbox {
	a.mu.Lock()
	defer a.mu.Unlock()
	in := a.inbox
	a.inbox.all, a.inbox.changed, a.inbox.expired = false, nil, nil
	return in
}

func (a *Agent) lost(err error) {
	a.mu.Lock()
	a.inbox.lost = err
	a.mu.Unlock()
	if err != nil {
		a.cfg.Logger.Warn("the registry is lost, HAProxy stays as it is", "error", err)
	} else {
		a.cfg.Logger.Info("the registry is back")
	}
	a.nudge()
}

// pass makes one pass over what is known and returns when the next is due at the latest: a quick one over the domains
// that changed, if everything else is known to be in line, or a whole one.
func (a *Agent) pass(ctx context.Context) time.Duration {
	in := a.take()
	if !in.known {
		a.record(in, Report{}, nil, 0)
		return a.cfg.Resync
	}
	due := !a.fileAt.IsZero() && !time.Now().Before(a.fileAt)
	if a.good && !due && !in.all && len(in.changed) > 0 && len(in.changed) <= maxQuick && sameRegistry(a.confirmed, in.snapshot) == nil {
		if a.quick(ctx, in) {
			if a.fileAt.IsZero() {
				return a.cfg.Resync
			}
			return time.Until(a.fileAt)
		}
	}
	return a.whole(ctx, in)
}

// quick makes a quick pass; it reports false where a whole one must follow at once.
func (a *Agent) quick(ctx context.Context, in inbox) bool {
	start := time.Now()
	report, err := a.locked(func(s *Syncer) (Report, error) {
		before := removals{have: a.servers, earlier: a.recentlyRemoved(), expired: len(in.expired) > 0}
		for backend, n := range a.leaving {
			if domain, _ := haproxy.DomainOf(backend); !in.changed[domain] {
				before.now += n
			}
		}
		return s.quick(ctx, in.snapshot, slices.Sorted(maps.Keys(in.changed)), before)
	}, in.snapshot)
	if err != nil || report.Down != nil || report.Plan.structural() || len(report.Refused) > 0 {
		a.good = false
		return false // it is told by the whole pass
	}
	for name := range in.changed {
		backend := haproxy.BackendName(name)
		a.leaving[backend] = report.Removed[backend]
	}
	if !report.Plan.Empty() && a.fileAt.IsZero() {
		a.fileAt = start.Add(fileDelay)
	}
	took := time.Since(start)
	report.Plan = report.Plan.live()
	a.log(report, nil, took)
	a.recordQuick(report, a.fileAt.IsZero(), took)
	return true
}

// whole makes a pass over everything.
func (a *Agent) whole(ctx context.Context, in inbox) time.Duration {
	start := time.Now()
	report, err := a.locked(func(s *Syncer) (Report, error) { return s.Sync(ctx) }, in.snapshot)
	if report.Reloaded {
		a.reloadAt = time.Now().Add(a.cfg.ReloadInterval)
	}
	if err == nil {
		gone := sum(report.Removed)
		a.fileAt, a.servers, a.leaving = time.Time{}, report.Servers-gone, map[string]int{}
		a.removed = append(a.removed, removal{time.Now(), gone})
	}
	took := time.Since(start)
	a.seen = a.look(ctx)
	a.log(report, err, took)
	a.record(in, report, err, took)
	a.good = err == nil && report.Down == nil && !report.Postponed && report.Draining == 0
	return a.next(in.snapshot, report, err)
}

// recentlyRemoved is how many servers went within the window.
func (a *Agent) recentlyRemoved() int {
	a.removed = slices.DeleteFunc(a.removed, func(r removal) bool { return time.Since(r.at) > removalWindow })
	n := 0
	for _, r := range a.removed {
		n += r.count
	}
	return n
}

// locked runs a pass as the only writer.
func (a *Agent) locked(pass func(*Syncer) (Report, error), snapshot registry.Snapshot) (report Report, err error) {
	unlock, err := a.cfg.Locker.Lock()
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	syncer, err := a.syncer(snapshot)
	if err != nil {
		return Report{}, err
	}
	return pass(syncer)
}

// next is when the following pass is due: soon where something is still to do, later and later where passes fail.
func (a *Agent) next(snapshot registry.Snapshot, report Report, err error) time.Duration {
	var held *HeldError
	if err != nil && !errors.As(err, &held) {
		wait := retryFirst << min(a.failures, 10)
		a.failures++
		return min(wait, retryLast)
	}
	a.failures = 0
	switch {
	case held != nil:
		return heldPoll // somebody may have confirmed it
	case report.Postponed:
		return max(time.Until(a.reloadAt), time.Millisecond)
	case report.Draining > 0:
		return drainPoll
	case report.Down == nil:
		a.confirmed = snapshot
	default:
		return retryFirst
	}
	return a.cfg.Resync
}

// log writes one line for a pass that did something, or failed.
func (a *Agent) log(report Report, err error, took time.Duration) {
	plan := report.Plan
	attrs := []any{
		"revision", report.Revision, "runtime", len(plan.changes(ViaRuntime)), "transaction", len(plan.changes(ViaTransaction)),
		"rewrite", len(plan.changes(ViaRewrite)), "reload", plan.Reload, "took", took.Round(time.Microsecond),
	}
	var held *HeldError
	switch {
	case errors.As(err, &held):
		if held.Reason != a.hold {
			a.cfg.Logger.Warn("held, nothing is touched", "revision", report.Revision, "reason", held.Reason)
		}
	case err != nil:
		a.cfg.Logger.Error("the pass failed", append(attrs, "error", err)...)
	case report.Down != nil:
		a.cfg.Logger.Error("haproxy does not answer", append(attrs, "error", report.Down)...)
	case !plan.Empty() && !report.Postponed:
		a.cfg.Logger.Info("synced", attrs...)
	}
	a.hold = report.Held
}

var _ Locker = (*haproxy.Instance)(nil)
