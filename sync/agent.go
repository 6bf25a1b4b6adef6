package sync

import (
	"context"
	"errors"
	"log/slog"
	stdsync "sync"
	"time"

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

// AgentConfig says what an Agent works on. Zero durations mean the default.
type AgentConfig struct {
	Follower Follower
	Process  Process
	File     File
	Layout   Layout
	Policy   Policy
	// ReloadInterval is the least time between two reloads: the first comes at once, a postponed one stays pending.
	// The default is 2 s.
	ReloadInterval time.Duration
	// ReloadSplay is the most that a reload waits for no other reason than that the agents of other machines want one, too: each
	// waits a random part of it. The default is 0.
	ReloadSplay time.Duration
	// Resync is how often all is read and compared although nothing is known to have changed. The default is 60 s.
	Resync time.Duration
	// Observe is called with how long each pass took; nil if not needed.
	Observe func(PassKind, time.Duration)
	// Measure is called with how long a change of a domain took from when etcd told of it until HAProxy's process had it, read back,
	// and which way it went; nil if not needed.
	Measure func(Way, time.Duration)
	// Begin is called when a pass begins, and what it returns when that ends; nil if not needed.
	Begin func() (end func())
	// Journal is given an entry for each pass that did something, was held or failed, and must not wait for anything; nil means
	// that no one keeps them.
	Journal func(Entry)
	Logger  *slog.Logger
}

// A PassKind is what a pass works on.
type PassKind string

// The kinds of passes.
const (
	QuickPass PassKind = "quick" // some domains, in the process
	FilePass  PassKind = "file"  // a job of the deployer: the file, and a reload
	WholePass PassKind = "whole" // everything, in the process
)

const (
	defaultReloadInterval = 2 * time.Second
	defaultResync         = time.Minute
	retryMin              = time.Second
	retryMax              = 30 * time.Second
	drainPoll             = 2 * time.Millisecond
	drainPollMax          = 5 * time.Second
	heldPoll              = 5 * time.Second
	pollInterval          = 2 * time.Second  // how often HAProxy is looked at, at next to no cost
	minPause              = time.Millisecond // at least, between two rounds of the loop that nothing has come in for
	// refusedLast is how long it takes at most until a reload is tried again that HAProxy refused: each try may keep
	// clients out for two seconds, where an address is in use.
	refusedMax = 5 * time.Minute
	// uselessFirst is when a reload is tried again that HAProxy made and that did not help, uselessLast how long that takes at most.
	uselessMin = 5 * time.Minute
	uselessMax = time.Hour
	// fileDelay is how long the file may lag behind the process, so that one commit serves all that gathers.
	fileDelay = time.Second
	// maxPartial is the number of domains from which on a pass over everything is the cheaper one.
	maxPartial = 500
	// maxTurn is how many domains, of which changes were left, a pass takes: few enough for a change of another domain not to wait long.
	maxDeferred = 250
	// readBack is when all is read again after a reload: the domains that it was for are read at once.
	readBackDelay = 3 * time.Second
)

// An Agent keeps HAProxy in line with the registry for as long as it runs. Its loop owns the memory and the process, the
// deployer the file and the reloads; one goroutine follows the registry and wakes the loop.
type Agent struct {
	cfg AgentConfig
	view

	// The rest is the loop's.
	memory   *memory
	logged   conditionLogs
	alarms   alarms
	deployer deployer
}

// NewAgent returns an Agent, or an error where the configuration makes no sense.
func NewAgent(cfg AgentConfig) (*Agent, error) {
	if cfg.Follower == nil || cfg.Logger == nil {
		return nil, errors.New("a follower and a logger are needed")
	}
	if cfg.ReloadInterval == 0 {
		cfg.ReloadInterval = defaultReloadInterval
	}
	if cfg.Resync == 0 {
		cfg.Resync = defaultResync
	}
	if cfg.ReloadInterval < 0 || cfg.Resync < 0 || cfg.ReloadSplay < 0 {
		return nil, errors.New("the reload interval, the reload splay and the resync interval must not be negative")
	}
	if cfg.Observe == nil {
		cfg.Observe = func(PassKind, time.Duration) {}
	}
	if cfg.Measure == nil {
		cfg.Measure = func(Way, time.Duration) {}
	}
	if cfg.Journal == nil {
		cfg.Journal = func(Entry) {}
	}
	if cfg.Begin == nil {
		cfg.Begin = func() func() { return func() {} }
	}
	a := &Agent{
		cfg: cfg, view: newView(cfg.Follower, cfg.Process, cfg.Logger), memory: newMemory(), logged: newConditionLogs(),
		deployer: newDeployer(), alarms: alarms{recheck: map[string]bool{}, deferred: map[string]bool{}},
	}
	return a, a.passConfig().check()
}

// Inherit takes over the counts and the memory of an agent that has ended. It is called before Run.
func (a *Agent) Inherit(from *Agent) {
	a.memory, a.logged, a.status = from.memory, from.logged, from.Status()
	a.memory.worker = ""
	a.status.Lost = "" // another follower has yet to say so
	a.status.Reasons = a.status.reasons(true)
}

func (a *Agent) passConfig() Config {
	return Config{Process: a.cfg.Process, File: a.cfg.File, Layout: a.cfg.Layout, Policy: a.cfg.Policy}
}

// Run follows the registry and makes passes until ctx ends; a pass that has begun is finished, and the file gets what
// the process has. Else HAProxy stays as it is. The error is ctx's.
func (a *Agent) Run(ctx context.Context) error {
	var running stdsync.WaitGroup
	running.Go(func() { _ = a.cfg.Follower.Follow(ctx, a.updated, a.lost) })
	jobs, results := a.deployer.jobs, a.deployer.results
	running.Go(func() { runJobs(a.cfg.File, jobs, results) })
	defer running.Wait()
	defer close(jobs)
	if a.memory.confirmed.Revision == 0 {
		a.loadNotes()
	}
	a.alarms.resync = time.Now().Add(a.cfg.Resync)
	timer := time.NewTimer(pollInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			a.writeAll()
			return ctx.Err()
		case r := <-results:
			a.deployed(ctx, r)
		case <-a.wake:
		case <-timer.C:
			a.poll(ctx)
		}
		a.step(ctx)
		timer.Reset(max(minPause, min(time.Until(a.next()), pollInterval)))
	}
}

// poll sees whether HAProxy is another one than before, at next to no cost.
func (a *Agent) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, partialTimeout)
	defer cancel()
	seen, err := a.cfg.Process.Identity(ctx)
	if err == nil && (a.deployer.busy != nil || seen == a.memory.identity) {
		return // while a job is under way both may change
	}
	a.noteFailure(err)
	a.alarms.whole = time.Now()
	a.memory.retryRefused(true)
	a.memory.postponeReloads(a.alarms.reload)
}
