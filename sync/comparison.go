package sync

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

const (
	// shadowPatience is how long the other tool may take until a difference counts: it may be in the middle of a reload.
	shadowPatience = 15 * time.Second
	// keptAsked is how long it is remembered what was asked for of an object, maxAsked how often that may have changed.
	keptAsked = time.Hour
	maxAsked  = 32
	// maxSteps is how many of these are remembered of all objects together.
	maxSteps = 200_000
)

// A comparison follows what HAProxy ought to have and what it has, while another tool changes it. It is a function of what it is
// told, in the order of time.
//
// What the other tool has seen of the registry is not known, but follows from what it does: once HAProxy comes to have what the
// registry asks for since a revision, the tool has seen that revision. What it has left out of an earlier one is a difference; what came
// later may be on its way. So a tool that skips a revision, is slow, or is away does not differ.
type comparison struct {
	want       haproxy.Config // of the file, as of the last change of the registry or the last look
	file, live haproxy.Config // as of the last look
	looks      int            // so many were taken
	removed    bool           // the registry has taken a server out since the last look
	steps      int            // of all timelines
	timelines  map[managedObject]*timeline
	pending    map[managedObject]*difference
	// known is the revision that the other tool has seen at least; it is of use if knows is set. acted is when it changed HAProxy last.
	known registry.Revision
	knows bool
	acted time.Time

	agreed, differed int
}

func newComparison() *comparison {
	return &comparison{timelines: map[managedObject]*timeline{}, pending: map[managedObject]*difference{}}
}

// A difference is a change that HAProxy does not have as hapsync would have made it.
type difference struct {
	change haproxy.Change
	since  time.Time
	born   int // the look that it began with
	// asked is the revision since which this is asked for; 0 if it was so before the first look.
	asked registry.Revision
	// did is what the other tool did if that began it, because HAProxy was as it ought to be; nil if the registry began it.
	did haproxy.Change
	// unasked is set if HAProxy has what the registry has not asked for of late.
	unasked bool
	// evidence is since when the other tool is known to have left it so. clock is when its time began to run. Both begin again after each
	// time in which HAProxy or the registry could not be read.
	evidence, clock time.Time
	state           ShadowState
	why             string
}

// An observation is what one look has found.
type observation struct {
	at         time.Time
	want       wanted
	file, live haproxy.Config
	withheld   heldRemovals
}

// update records what the registry asks for from a revision on, of some domains: was is what c.want has of them, and no part of it.
func (c *comparison) update(revision registry.Revision, was, is haproxy.Config, at time.Time) {
	for _, ch := range Diff(was, is) {
		c.removed = c.removed || removes(ch) && ch.Object() == haproxy.ObjectServer
		t := objectOf(ch)
		line := c.timelines[t]
		if line == nil {
			line = newTimeline(t.in(was))
			c.timelines[t] = line
			c.steps++
		}
		line.steps = append(line.steps, step{revision, t.in(is), at, c.looks})
		c.steps++
		if over := len(line.steps) - maxAsked; over > 0 {
			line.steps = slices.Clone(line.steps[over:])
			c.steps -= over
		}
	}
	merge(was.Backends, is.Backends, byBackend, func(was, is *haproxy.Backend) { c.want.Backends = put(c.want.Backends, was, is, byBackend) })
	merge(was.Rules, is.Rules, byRule, func(was, is *haproxy.Rule) { c.want.Rules = put(c.want.Rules, was, is, byRule) })
	if c.steps > maxSteps {
		c.forget(at)
	}
}

// put puts an element of a sorted slice in the place of another one of the same name, in place; nil stands for none.
func put[T any](all []T, was, is *T, compare func(a, b T) int) []T {
	i, there := slices.BinarySearchFunc(all, *cmp.Or(was, is), compare)
	switch {
	case is == nil:
		return slices.Delete(all, i, i+1)
	case there:
		all[i] = *is
		return all
	}
	return slices.Insert(all, i, *is)
}

// forget drops the timelines that are over and, where there are too many steps, the oldest. What is pending keeps its own.
func (c *comparison) forget(now time.Time) {
	maps.DeleteFunc(c.timelines, func(t managedObject, line *timeline) bool {
		return c.pending[t] == nil && now.Sub(line.last().at) > keptAsked
	})
	c.steps = 0
	var done []managedObject
	for t, line := range c.timelines {
		c.steps += len(line.steps)
		if c.pending[t] == nil {
			done = append(done, t)
		}
	}
	if c.steps <= maxSteps {
		return
	}
	slices.SortFunc(done, func(a, b managedObject) int { return c.timelines[a].last().at.Compare(c.timelines[b].last().at) })
	for _, t := range done {
		if c.steps <= maxSteps*3/4 {
			break
		}
		c.steps -= len(c.timelines[t].steps)
		delete(c.timelines, t)
	}
}

// forgetRevisions is for a registry that counts its revisions from the start again: what the other tool has seen of this one is not known.
func (c *comparison) forgetRevisions() {
	c.known, c.knows, c.steps = 0, false, 0
	clear(c.timelines)
	for _, p := range c.pending {
		p.asked = 0
	}
}

// adjust follows what is wanted for another reason than the registry: because HAProxy's files changed, for example.
func (c *comparison) adjust(want haproxy.Config) {
	for _, ch := range Diff(c.want, want) {
		t := objectOf(ch)
		if line := c.timelines[t]; line != nil {
			line.last().value = t.in(want)
		}
	}
}

// A toolChange is what the other tool did to an object between two looks.
type toolChange struct {
	change  haproxy.Change
	unasked bool
}

// observe records what a look has found, and returns what is new.
func (c *comparison) observe(s observation) []shadowEvent {
	toolChanges := map[managedObject]toolChange{}
	if c.looks > 0 {
		c.adjust(s.want.file)
		c.noteChanges(toolChanges, inFile, c.file, s.file, s.want.file)
		c.noteChanges(toolChanges, inProcess, c.live, s.live, s.want.process)
	}
	if len(toolChanges) > 0 {
		c.acted = s.at
	}
	news := c.judge(s, toolChanges)
	c.want = haproxy.Config{Backends: slices.Clone(s.want.file.Backends), Rules: slices.Clone(s.want.file.Rules)}
	c.file, c.live, c.removed = s.file, s.live, false
	c.looks++
	c.forget(s.at)
	return news
}

// noteChanges records what has changed in the file, or in the process.
func (c *comparison) noteChanges(toolChanges map[managedObject]toolChange, where place, was, is, want haproxy.Config) {
	for _, ch := range Diff(was, is) {
		t := objectOf(ch)
		value, line := t.in(is), c.timelines[t]
		read, known := line.advance(where, value)
		if good := value == t.in(want); good && line == nil {
			known = true
		}
		if known {
			c.known, c.knows = max(c.known, read), true
		}
		toolChanges[t] = toolChange{ch, toolChanges[t].unasked || !known && value != t.in(want)}
	}
}

// judge compares the differences with those of the look before, and returns what is new, sorted by what it is about.
func (c *comparison) judge(s observation, toolChanges map[managedObject]toolChange) []shadowEvent {
	var news []shadowEvent
	changes := differences(s)
	there := map[managedObject]bool{}
	for _, ch := range changes {
		t := objectOf(ch)
		there[t] = true
		p, fresh := c.pendingFor(t, ch, s.at, toolChanges)
		if fresh && p.did == nil {
			news = append(news, shadowEvent{WouldMake, *p})
		}
		if was := p.state; c.assess(p, s.at) != was && p.state == ShadowDiffers {
			c.differed++
			news = append(news, shadowEvent{Differs, *p})
		} else if p.state == ShadowUnanswered && was != ShadowUnanswered {
			news = append(news, shadowEvent{NotAnswered, *p})
		}
	}
	for t, p := range c.pending {
		if there[t] {
			continue
		}
		delete(c.pending, t)
		_, acted := toolChanges[t]
		line := c.timelines[t]
		switch {
		case p.state == ShadowDiffers:
			news = append(news, shadowEvent{DiffersNoMore, *p})
		case acted && p.did == nil:
			news = append(news, c.countMade(s, *p)...)
		case p.did != nil && line != nil && line.last().after >= p.born: // the other tool was ahead
			p.change = p.did
			news = append(news, c.countMade(s, *p)...)
		}
		delete(toolChanges, t)
	}
	for t, did := range toolChanges {
		line := c.timelines[t]
		if there[t] || !c.isNew(line) {
			continue
		}
		news = append(news, c.countMade(s, difference{change: did.change, since: line.last().at, asked: line.last().revision})...) // before the look
	}
	slices.SortFunc(news, func(a, b shadowEvent) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), objectOf(a.change).compare(objectOf(b.change)))
	})
	return news
}

// countMade counts a change that the other tool has countMade and the registry asks for: unless an agent would not have countMade it.
func (c *comparison) countMade(s observation, l difference) []shadowEvent {
	held := s.withheld[l.change.Domain()]
	if why := held[l.change.Key().Name]; why != "" && removes(l.change) {
		c.differed++
		l.state, l.why = ShadowDiffers, "the other tool has made it, and a safeguard of hapsync would have held it back: "+why
		return []shadowEvent{{Differs, l}}
	}
	if removes(l.change) && len(held) > 0 {
		return nil // the rest of it
	}
	c.agreed++
	return []shadowEvent{{Agreed, l}}
}

// pendingFor is the pending difference of an object, a fresh one if it was not pending, or something else is asked for now.
func (c *comparison) pendingFor(t managedObject, change haproxy.Change, at time.Time, toolChanges map[managedObject]toolChange) (p *difference, fresh bool) {
	var asked registry.Revision
	line := c.timelines[t]
	if line != nil {
		asked = line.last().revision
	}
	did, acted := toolChanges[t]
	p = c.pending[t]
	if fresh = p == nil || p.asked != asked; fresh {
		next := &difference{since: at, born: c.looks + 1, asked: asked, clock: at}
		if p != nil && p.state != ShadowDiffers {
			next.since = p.since // HAProxy has been behind since then
		}
		if p == nil && acted && !c.isNew(line) {
			next.did = did.change
		}
		p = next
		c.pending[t] = p
	}
	p.change = change
	if acted {
		p.unasked = did.unasked
	}
	return p, fresh
}

// withEarlyRemovals is a configuration with the servers that the other tool has taken out of it before the registry was seen to do so.
func (c *comparison) withEarlyRemovals(config haproxy.Config) haproxy.Config {
	config.Backends = slices.Clone(config.Backends)
	for t, p := range c.pending {
		if gone, ok := p.did.(haproxy.RemoveServer); ok && t.in(config) == nil {
			b, _ := haproxy.FindBackend(config.Backends, gone.Backend)
			b.Name = gone.Backend
			b.Servers = put(slices.Clone(b.Servers), nil, &gone.Server, byServer)
			config.Backends = put(config.Backends, nil, &b, byBackend)
		}
	}
	return config
}

// isNew reports whether the registry has asked for something else since the last look.
func (c *comparison) isNew(line *timeline) bool { return line != nil && line.last().after == c.looks }

// assess says what is to be thought of a pending change now. A verdict stays until something else is asked for.
func (c *comparison) assess(p *difference, now time.Time) ShadowState {
	if p.clock.IsZero() {
		p.clock = now
	}
	why := ""
	switch {
	case p.state == ShadowDiffers:
		return p.state
	case p.unasked:
		why = "the other tool has made it something that the registry has not asked for"
	case c.knows && c.known >= p.asked:
		why = fmt.Sprintf("the other tool has since acted on revision %d, and has left it", c.known)
		if p.did != nil {
			why = fmt.Sprintf("the other tool has changed it, although it has acted on revision %d", c.known)
		}
	}
	switch {
	case why == "":
		p.evidence = time.Time{}
	case p.evidence.IsZero():
		p.evidence = now
	case now.Sub(p.evidence) >= shadowPatience:
		p.state, p.why = ShadowDiffers, why
		return p.state
	}
	p.state, p.why = ShadowWaits, ""
	if why == "" && now.Sub(p.clock) >= shadowPatience {
		p.state, p.why = ShadowUnanswered, "the other tool has changed nothing since"
		if c.acted.After(p.since) {
			p.why = "the other tool has changed something since, but nothing that the registry has asked for since then"
		}
	}
	return p.state
}

// resetClocks says that HAProxy or the registry cannot be read now, or that hapsync would hold back all: this time is not the other tool's.
func (c *comparison) resetClocks() {
	for _, p := range c.pending {
		p.evidence, p.clock = time.Time{}, time.Time{}
	}
}

// differences are the changes, one for each object, that HAProxy needs to be as it ought to. As in a plan, the process need not lose
// the rules and backends of domains that went.
func differences(s observation) []haproxy.Change {
	changes := Diff(s.file, s.want.file)
	seen := map[managedObject]bool{}
	for _, ch := range changes {
		seen[objectOf(ch)] = true
	}
	for _, ch := range Diff(s.live, s.want.process) {
		if removes(ch) && ch.Object() != haproxy.ObjectServer || seen[objectOf(ch)] {
			continue
		}
		changes = append(changes, ch)
	}
	return changes
}
