package sync

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/registry"
)

// A Follower reports how the registry changes.
type Follower interface {
	// Follow calls update with the whole registry, at once and after each change. It calls lost with the reason when it can no
	// longer follow the registry, again when the reason changes, and with nil when it can follow again. All calls come from one
	// goroutine. It returns when ctx ends.
	Follow(ctx context.Context, update func(registry.Update), lost func(error)) error
	// Relist makes Follow read the whole registry again. The next update tells what differs.
	Relist()
}

// AgentConfig says what an Agent works on. Zero durations mean the default.
type AgentConfig struct {
	Follower Follower
	Process  Process
	File     File
	Layout   Layout
	Policy   Policy
	// ReloadInterval is the least time between two reloads. The first one is made at once; a postponed one stays pending.
	// The default is 2 s.
	ReloadInterval time.Duration
	// ReloadSplay is the longest random delay of a reload, so that machines do not all reload at once. The default is 0.
	ReloadSplay time.Duration
	// Resync is how often everything is read and compared, although no change is known. The default is 60 s.
	Resync time.Duration
	// Observe is called with the duration of each pass; nil if not needed.
	Observe func(PassKind, time.Duration)
	// Measure is called for each change of a domain, with its way and its latency: from etcd's event until the change was read back
	// from HAProxy's process. Nil if not needed.
	Measure func(Way, time.Duration)
	// Begin is called when a pass begins, and the function that it returns when the pass ends; nil if not needed.
	Begin func() (end func())
	// Journal gets an entry for each pass that did something, was held or failed. It must not block. Nil if not needed.
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
	minRetry              = time.Second
	maxRetry              = 30 * time.Second
	drainPoll             = 2 * time.Millisecond
	maxDrainPoll          = 5 * time.Second
	heldPoll              = 5 * time.Second
	pollInterval          = 2 * time.Second  // how often HAProxy's identity is read, which costs next to nothing
	minPause              = time.Millisecond // the least time between two rounds of the loop without input
	// maxRefusedRetry bounds the wait before a refused reload is tried again. If an address is in use, each try may keep clients out
	// for two seconds.
	maxRefusedRetry = 5 * time.Minute
	// minUselessRetry and maxUselessRetry bound the wait before a reload that did not help is made again.
	minUselessRetry = 5 * time.Minute
	maxUselessRetry = time.Hour
	// fileDelay is how long the file may lag behind the process, so that one commit writes many changes.
	fileDelay = time.Second
	// maxPartial is the most domains for a pass: with more, a pass over everything is cheaper.
	maxPartial = 500
	// maxDeferred is how many deferred domains one pass takes: few enough that a change of another domain does not wait long.
	maxDeferred = 250
	// readBackDelay is when everything is read after a reload. The domains that needed the reload are read at once.
	readBackDelay = 3 * time.Second
)

// An Agent keeps HAProxy in sync with the registry while it runs. Its loop owns the memory and the process, the deployer owns the file
// and the reloads. A third goroutine follows the registry and wakes the loop, a fourth one looks at everything at a resync.
type Agent struct {
	cfg AgentConfig
	view

	// The loop owns the rest.
	memory   *memory
	logged   conditionLogs
	alarms   alarms
	deployer deployer
	looks    looks
}

// NewAgent returns an Agent, or an error if the configuration is invalid.
func NewAgent(cfg AgentConfig) (*Agent, error) {
	if cfg.Follower == nil || cfg.Logger == nil {
		return nil, errors.New("a follower and a logger are needed")
	}
	cfg.ReloadInterval = cmp.Or(cfg.ReloadInterval, defaultReloadInterval)
	cfg.Resync = cmp.Or(cfg.Resync, defaultResync)
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
		deployer: deployer{jobs: make(chan job, 1), results: make(chan result, 1)},
		looks:    newLooks(),
		alarms:   alarms{recheck: map[string]bool{}, deferred: map[string]bool{}},
	}
	return a, a.passConfig().check()
}

// Inherit takes over the counts and the memory of an agent that has ended. Call it before Run.
func (a *Agent) Inherit(from *Agent) {
	a.memory, a.logged, a.status = from.memory, from.logged, from.lastStatus()
	a.memory.worker = ""
	a.status.Lost = "" // that was about the other agent's follower
	a.status.Reasons = a.status.reasons(true)
}

func (a *Agent) passConfig() Config {
	return Config{Process: a.cfg.Process, File: a.cfg.File, Layout: a.cfg.Layout, Policy: a.cfg.Policy}
}

// Run follows the registry and makes passes until ctx ends. Then it finishes the current pass and writes to the file what the
// process has already; HAProxy keeps running as it is. The error is ctx's.
func (a *Agent) Run(ctx context.Context) error {
	var running stdsync.WaitGroup
	running.Go(func() { _ = a.cfg.Follower.Follow(ctx, a.updated, a.lost) })
	jobs, results := a.deployer.jobs, a.deployer.results
	running.Go(func() { runJobs(a.cfg.File, jobs, results) })
	due, seen := a.looks.due, a.looks.results
	running.Go(func() { runLooks(due, seen) })
	defer running.Wait()
	defer close(jobs)
	defer close(due)
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
		case l := <-seen:
			a.looked(l)
		case <-a.wake:
		case <-timer.C:
			a.poll(ctx)
		}
		a.step(ctx)
		timer.Reset(max(minPause, min(time.Until(a.next()), pollInterval)))
	}
}

// poll makes a pass over everything due if HAProxy does not answer, or its worker or its files have changed.
func (a *Agent) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, partialTimeout)
	defer cancel()
	identity, err := a.cfg.Process.Identity(ctx)
	if err == nil && (a.deployer.busy != nil || identity == a.memory.identity) {
		return // a job may change the worker and the files
	}
	a.noteFailure(err)
	a.readAnew(time.Now())
}

// readAnew makes a pass over everything due, because HAProxy is not as the agent left it. What was refused before may work now.
func (a *Agent) readAnew(now time.Time) {
	a.alarms.whole = now
	a.memory.retryRefused(true)
	a.memory.postponeReloads(a.alarms.reload)
}
