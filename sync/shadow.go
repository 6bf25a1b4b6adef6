package sync

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// ShadowConfig says what a Shadow compares.
type ShadowConfig struct {
	Follower Follower
	Looker   Looker
	Layout   Layout
	Policy   Policy
	// Resync is how often everything is compared even if no change is known. The default is 60 s.
	Resync time.Duration
	// Observe is called with the duration of each look; nil if not needed.
	Observe func(PassKind, time.Duration)
	// Begin is called at the start of a look, and the function that it returns at the end; nil if not needed.
	Begin func() (end func())
	// Journal gets an entry for each kind of event, and must not block; nil if not needed.
	Journal func(Entry)
	Logger  *slog.Logger
	// Subject names what is compared, beside the Layout: the prefix, and HAProxy's files. A Shadow inherits nothing from a Shadow with
	// another subject.
	Subject string
}

// comparesAs reports whether two configurations compare the same things.
func (c ShadowConfig) comparesAs(other ShadowConfig) bool {
	a, b := c.Layout, other.Layout
	return c.Subject == other.Subject && slices.Equal(a.Frontends, b.Frontends) &&
		a.Cookie == b.Cookie && a.HostMatch == b.HostMatch && a.Routing == b.Routing
}

const (
	// maxUpdates is how many updates wait for the loop. Later updates are merged into the last of them.
	maxUpdates = 32
	// lookGap is the least time between two looks. Looks take one part in lookPart of the time at most.
	lookGap  = 100 * time.Millisecond
	lookPart = 10
)

// A Shadow follows the registry beside another tool that updates HAProxy, says what an Agent would do, and compares that with what the
// other tool does. It cannot change anything: it reaches HAProxy only through a Looker.
type Shadow struct {
	cfg ShadowConfig
	view
	updates []registry.Update // since the last step, in order, at most maxUpdates; guarded by view.mu

	// Only the loop uses the fields below.
	memory       *memory
	comparison   *comparison
	heldRemovals heldRemovals
	logged       conditionLogs
	snapshot     registry.Snapshot
	state        haproxy.State // as of the last good look; zero before
	seen         haproxy.Identity
	due          bool      // a look is due, but not before soonest
	soonest      time.Time // of the next look
	next         time.Time // when a look is due without a known change
	resync       time.Time // when the registry is listed again
}

// NewShadow returns a Shadow, or an error if the configuration is invalid.
func NewShadow(cfg ShadowConfig) (*Shadow, error) {
	if cfg.Follower == nil || cfg.Looker == nil || cfg.Logger == nil {
		return nil, errors.New("a follower, a looker and a logger are needed")
	}
	if cfg.Resync == 0 {
		cfg.Resync = defaultResync
	}
	if cfg.Observe == nil {
		cfg.Observe = func(PassKind, time.Duration) {}
	}
	if cfg.Begin == nil {
		cfg.Begin = func() func() { return func() {} }
	}
	if cfg.Journal == nil {
		cfg.Journal = func(Entry) {}
	}
	s := &Shadow{
		cfg: cfg, view: newView(cfg.Follower, cfg.Looker, cfg.Logger), memory: newMemory(),
		comparison: newComparison(), heldRemovals: heldRemovals{}, logged: newConditionLogs(),
	}
	s.status.Shadow = &ShadowStatus{}
	return s, checkPolicy(cfg.Layout, cfg.Policy)
}

// Inherit takes over the results of a Shadow that has ended, if both compare the same things. It must be called before Run.
func (s *Shadow) Inherit(from *Shadow) {
	if !s.cfg.comparesAs(from.cfg) {
		return
	}
	s.memory, s.comparison, s.heldRemovals, s.logged = from.memory, from.comparison, from.heldRemovals, from.logged
	s.snapshot, s.state, s.status = from.snapshot, from.state, from.Status()
	s.status.Lost = ""                         // the new follower has not lost the registry
	s.status.Reasons = s.status.reasons(false) // the registry is not read yet
}

// Run follows the registry and looks at HAProxy until ctx ends. The error is ctx's.
func (s *Shadow) Run(ctx context.Context) error {
	var running stdsync.WaitGroup
	running.Go(func() { _ = s.cfg.Follower.Follow(ctx, s.receive, s.lost) })
	defer running.Wait()
	s.resync = time.Now().Add(s.cfg.Resync)
	timer := time.NewTimer(pollInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		case <-timer.C:
			s.poll(ctx)
		}
		s.step(ctx)
		timer.Reset(s.pause())
	}
}

// receive keeps each update, because the comparison needs every step of what the registry asked for.
func (s *Shadow) receive(u registry.Update) {
	s.mu.Lock()
	if last := len(s.updates) - 1; last+1 < maxUpdates {
		s.updates = append(s.updates, u)
	} else {
		s.updates[last] = joined(s.updates[last], u)
	}
	s.mu.Unlock()
	s.updated(u)
}

// joined merges two updates into one.
func joined(first, second registry.Update) registry.Update {
	u := registry.Update{Snapshot: second.Snapshot, All: first.All || second.All}
	if names := slices.Concat(first.Changed, second.Changed); !u.All {
		slices.Sort(names)
		u.Changed = slices.Compact(names)
	}
	if len(u.Changed) > maxPartial {
		u.Changed, u.All = nil, true
	}
	return u
}

// pause is how long the loop waits without an update.
func (s *Shadow) pause() time.Duration {
	if s.due {
		return max(minPause, time.Until(s.soonest))
	}
	return pollInterval
}

// poll makes a look due if HAProxy was restarted, reloaded or edited, or the time has come. It costs almost nothing.
func (s *Shadow) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, partialTimeout)
	defer cancel()
	seen, err := s.cfg.Looker.Identity(ctx)
	now := time.Now()
	s.due = s.due || err != nil || seen != s.seen || !now.Before(s.next)
	if !now.Before(s.resync) {
		s.resync, s.due = now.Add(s.cfg.Resync), true
		s.cfg.Follower.Relist()
	}
}

// step follows new updates, and looks if a look is due.
func (s *Shadow) step(ctx context.Context) {
	in := s.takeInbox()
	s.mu.Lock()
	updates := s.updates
	s.updates = nil
	s.mu.Unlock()
	if len(updates) > 0 {
		s.updateAll(ctx, updates)
		s.due = true
	}
	if in.byHand {
		s.due, s.soonest = true, time.Time{}
	}
	if in.known && ctx.Err() == nil && s.due && !time.Now().Before(s.soonest) {
		s.look(ctx)
	}
}

// updateAll follows updates in order, until ctx ends.
func (s *Shadow) updateAll(ctx context.Context, updates []registry.Update) {
	defer s.cfg.Begin()()
	for _, u := range updates {
		if ctx.Err() != nil {
			return
		}
		s.update(u)
	}
}

// update follows one update of the registry.
func (s *Shadow) update(u registry.Update) {
	names := u.Changed
	if u.All {
		names = changedDomains(s.snapshot, u.Snapshot)
	}
	switched := sameRegistry(s.snapshot, u.Snapshot) != nil
	if other := sameRegistry(s.memory.confirmed, u.Snapshot); other != nil && (switched || s.memory.otherRegistry == nil) {
		s.memory.otherRegistry, s.memory.otherCluster = other, u.Snapshot.ClusterID
	} else if s.memory.isBack(u.Snapshot) {
		s.memory.otherRegistry = nil
	}
	if switched {
		s.comparison.forgetRevisions()
	}
	s.snapshot = u.Snapshot
	if s.comparison.looks == 0 || len(names) == 0 {
		return
	}
	scope := haproxy.Domains(names...)
	part, _ := s.cfg.Layout.Desired(partOf(u.Snapshot, scope), s.state)
	backends := backendNames(names)
	part = withoutTakenAliases(part.Only(backends, s.cfg.Layout.Frontends), u.Snapshot)
	s.comparison.update(u.Snapshot.Revision, s.comparison.want.Only(backends, s.cfg.Layout.Frontends), part, time.Now())
}

// checkRemovals asks the safeguards about the servers that the registry removed since the last look. It takes HAProxy as it was before
// the other tool removed them, before or after that look.
func (s *Shadow) checkRemovals() {
	if !s.comparison.removed {
		return
	}
	p, st := s.newPass(), s.state
	st.File, st.Live = s.comparison.withEarlyRemovals(st.File), s.comparison.withEarlyRemovals(st.Live)
	p.compare(st)
	err := p.check()
	s.heldRemovals.update(p, err)
	if err == nil {
		s.memory.count(p)
	}
}

func (s *Shadow) newPass() *pass {
	p := &pass{
		cfg: Config{Layout: s.cfg.Layout, Policy: s.cfg.Policy}, memory: s.memory, scope: haproxy.Everything(),
		snapshot: s.snapshot, counts: countSnapshot(s.snapshot),
	}
	p.report = newReport(p.counts)
	return p
}

func backendNames(domains []string) []string {
	names := make([]string, len(domains))
	for i, d := range domains {
		names[i] = haproxy.BackendName(d)
	}
	slices.Sort(names)
	return names
}

// changedDomains are the domains that differ between two snapshots, sorted.
func changedDomains(was, is registry.Snapshot) (names []string) {
	byName := func(a, b *registry.Domain) int { return cmp.Compare(a.Name, b.Name) }
	merge(was.Domains, is.Domains, byName, func(was, is **registry.Domain) {
		switch {
		case was == nil:
			names = append(names, (*is).Name)
		case is == nil || !(*was).Equal(**is):
			names = append(names, (*was).Name)
		}
	})
	return names
}

// look compares the registry with HAProxy.
func (s *Shadow) look(ctx context.Context) {
	defer s.cfg.Begin()()
	began := time.Now()
	s.checkRemovals()
	p := s.newPass()
	err := s.compare(ctx, p)
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	took := now.Sub(began)
	var events []shadowEvent
	if err == nil && p.state.Down == nil && s.followed() {
		events = s.comparison.observe(observation{now, p.want, p.state.File, p.state.Live, s.heldRemovals})
		s.state = p.state
		s.heldRemovals.forget(p.state)
	} else {
		s.comparison.resetClocks()
	}
	s.due, s.soonest = false, now.Add(max(lookGap, lookPart*took))
	s.next = now.Add(s.cfg.Resync)
	if err != nil || p.state.Down != nil || len(s.comparison.pending) > 0 {
		s.next = now.Add(max(pollInterval, lookPart*took))
	}
	s.cfg.Observe(WholePass, took)
	s.record(p, err, events, took)
}

// followed reports whether the snapshot of the registry is up to date.
func (s *Shadow) followed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status.Lost == ""
}

// compare makes a pass without any change. A *HeldError means that an agent would hold everything back.
func (s *Shadow) compare(ctx context.Context, p *pass) error {
	st, err := s.cfg.Looker.State(ctx, p.scope)
	if err != nil {
		s.seen = haproxy.Identity{}
		return err
	}
	s.seen = st.Identity()
	p.compare(st)
	if st.Down != nil {
		return nil
	}
	s.memory.observe(p.asked, st)
	p.compare(st)
	if loaded(st) {
		s.memory.worker, s.memory.identity = st.Worker, st.Identity()
	}
	err = p.check()
	s.heldRemovals.update(p, err)
	if err == nil {
		s.memory.count(p)
		s.memory.otherRegistry, s.memory.confirmed = nil, p.snapshot
	}
	return err
}

// loaded reports whether the process has what the file says. Every later difference was set on its socket.
func loaded(st haproxy.State) bool {
	return len(differences(observation{want: wanted{file: st.File, process: st.File}, file: st.File, live: st.Live})) == 0
}
