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
	// shadowPatience is how long the other tool may take before a difference counts: it may be in the middle of a reload.
	shadowPatience = 15 * time.Second
	// keptAsked is how long an unchanged timeline is kept, maxAsked how many steps it may have.
	keptAsked = time.Hour
	maxAsked  = 32
	// maxSteps is how many steps all timelines may have together.
	maxSteps = 200_000
)

// A comparison compares what HAProxy should have with what it has, while another tool changes it. It depends only on what its methods
// are given, in order of time.
//
// hapsync does not know what the other tool has seen of the registry, and concludes it from what the tool does: once HAProxy has what the
// registry asks for since a revision, the tool has seen that revision. What the tool left out of that revision, or an earlier one, is a
// difference. Later changes may be on their way. So a tool does not differ because it skips a revision, is slow, or is down.
type comparison struct {
	want       haproxy.Config // of the file, as of the last change of the registry or the last look
	file, live haproxy.Config // as of the last look
	looks      int            // the number of looks so far
	removed    bool           // the registry removed a server since the last look
	steps      int            // of all timelines
	timelines  map[managedObject]*timeline
	pending    map[managedObject]*difference
	// seen is a revision that the other tool has seen, or it has seen a later one. It is valid if seenKnown is set.
	seen      registry.Revision
	seenKnown bool
	acted     time.Time // when the other tool changed HAProxy last

	agreed, differed int
}

func newComparison() *comparison {
	return &comparison{timelines: map[managedObject]*timeline{}, pending: map[managedObject]*difference{}}
}

// A difference is a change that HAProxy does not have as hapsync would have made it.
type difference struct {
	change    haproxy.Change
	since     time.Time
	firstLook int // the number of the look that found it
	// asked is the revision since which the registry asks for this; 0 if it did so before the first look.
	asked registry.Revision
	// toolDid is the change of the other tool that made the difference: HAProxy was right before. It is nil if the registry changed.
	toolDid haproxy.Change
	// unrequested is set if HAProxy has what the registry did not ask for recently.
	unrequested bool
	// leftSince is when it was first known that the other tool leaves the difference. waitsSince is when the wait for the tool began.
	// Both start again after a time in which HAProxy or the registry could not be read.
	leftSince, waitsSince time.Time
	state                 ShadowState
	why                   string
}

// An observation is what one look found.
type observation struct {
	at         time.Time
	want       wanted
	file, live haproxy.Config
	held       heldRemovals
}

// update records what the registry asks for, for some domains, from a revision on. was is a copy of what c.want has for them.
func (c *comparison) update(revision registry.Revision, was, is haproxy.Config, at time.Time) {
	for _, ch := range Diff(was, is) {
		c.removed = c.removed || removes(ch) && ch.Object() == haproxy.ObjectServer
		o := objectOf(ch)
		line := c.timelines[o]
		if line == nil {
			line = newTimeline(o.in(was))
			c.timelines[o] = line
			c.steps++
		}
		line.steps = append(line.steps, step{revision, o.in(is), at, c.looks})
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

// put replaces was by is in a sorted slice, in place. Both have the same name; nil means none.
func put[T any](all []T, was, is *T, compare func(a, b T) int) []T {
	i, found := slices.BinarySearchFunc(all, *cmp.Or(was, is), compare)
	switch {
	case is == nil:
		return slices.Delete(all, i, i+1)
	case found:
		all[i] = *is
		return all
	}
	return slices.Insert(all, i, *is)
}

// forget drops timelines older than keptAsked, and, if there are more than maxSteps, the oldest. Pending differences keep their timelines.
func (c *comparison) forget(now time.Time) {
	maps.DeleteFunc(c.timelines, func(o managedObject, line *timeline) bool {
		return c.pending[o] == nil && now.Sub(line.last().at) > keptAsked
	})
	c.steps = 0
	var done []managedObject
	for o, line := range c.timelines {
		c.steps += len(line.steps)
		if c.pending[o] == nil {
			done = append(done, o)
		}
	}
	if c.steps <= maxSteps {
		return
	}
	slices.SortFunc(done, func(a, b managedObject) int { return c.timelines[a].last().at.Compare(c.timelines[b].last().at) })
	for _, o := range done {
		if c.steps <= maxSteps*3/4 {
			break
		}
		c.steps -= len(c.timelines[o].steps)
		delete(c.timelines, o)
	}
}

// forgetRevisions is called for another registry, whose revisions start again: what the other tool has seen of it is not known.
func (c *comparison) forgetRevisions() {
	c.seen, c.seenKnown, c.steps = 0, false, 0
	clear(c.timelines)
	for _, p := range c.pending {
		p.asked = 0
	}
}

// adjust follows changes of what is wanted without a change of the registry, for example because HAProxy's files changed.
func (c *comparison) adjust(want haproxy.Config) {
	for _, ch := range Diff(c.want, want) {
		o := objectOf(ch)
		if line := c.timelines[o]; line != nil {
			line.last().value = o.in(want)
		}
	}
}

// A toolChange is what the other tool did to an object between two looks.
type toolChange struct {
	change      haproxy.Change
	unrequested bool
}

// observe records what a look found, and returns what is new.
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
	events := c.judge(s, toolChanges)
	c.want = haproxy.Config{Backends: slices.Clone(s.want.file.Backends), Rules: slices.Clone(s.want.file.Rules)}
	c.file, c.live, c.removed = s.file, s.live, false
	c.looks++
	c.forget(s.at)
	return events
}

// noteChanges records what the other tool changed in one place, the file or the process.
func (c *comparison) noteChanges(toolChanges map[managedObject]toolChange, where place, was, is, want haproxy.Config) {
	for _, ch := range Diff(was, is) {
		o := objectOf(ch)
		value, line := o.in(is), c.timelines[o]
		read, known := line.advance(where, value)
		right := value == o.in(want)
		if known || right && line == nil {
			c.seen, c.seenKnown = max(c.seen, read), true
		}
		toolChanges[o] = toolChange{ch, toolChanges[o].unrequested || !known && !right}
	}
}

// judge compares the differences with those of the look before, and returns what is new, sorted by kind and object.
func (c *comparison) judge(s observation, toolChanges map[managedObject]toolChange) []shadowEvent {
	var events []shadowEvent
	differs := map[managedObject]bool{}
	for _, ch := range differences(s) {
		o := objectOf(ch)
		differs[o] = true
		p, fresh := c.pendingFor(o, ch, s.at, toolChanges)
		if fresh && p.toolDid == nil {
			events = append(events, shadowEvent{WouldMake, *p})
		}
		if was := p.state; c.assess(p, s.at) != was && p.state == ShadowDiffers {
			c.differed++
			events = append(events, shadowEvent{Differs, *p})
		} else if p.state == ShadowUnanswered && was != ShadowUnanswered {
			events = append(events, shadowEvent{NotAnswered, *p})
		}
	}
	for o, p := range c.pending {
		if differs[o] {
			continue
		}
		delete(c.pending, o)
		_, acted := toolChanges[o]
		line := c.timelines[o]
		switch {
		case p.state == ShadowDiffers:
			events = append(events, shadowEvent{DiffersNoMore, *p})
		case acted && p.toolDid == nil:
			events = append(events, c.countMade(s, *p)...)
		case p.toolDid != nil && line != nil && line.last().after >= p.firstLook: // the other tool was earlier
			p.change = p.toolDid
			events = append(events, c.countMade(s, *p)...)
		}
		delete(toolChanges, o)
	}
	for o, did := range toolChanges {
		line := c.timelines[o]
		if !differs[o] && c.isNew(line) { // it was asked for and made between two looks
			events = append(events, c.countMade(s, difference{change: did.change, since: line.last().at, asked: line.last().revision})...)
		}
	}
	slices.SortFunc(events, func(a, b shadowEvent) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), objectOf(a.change).compare(objectOf(b.change)))
	})
	return events
}

// countMade counts a change that the other tool made as the registry asks for. It counts as a difference if a safeguard of an agent would
// have held it back.
func (c *comparison) countMade(s observation, d difference) []shadowEvent {
	held := s.held[d.change.Domain()]
	if why := held[d.change.Key().Name]; why != "" && removes(d.change) {
		c.differed++
		d.state, d.why = ShadowDiffers, "the other tool has made it, and a safeguard of hapsync would have held it back: "+why
		return []shadowEvent{{Differs, d}}
	}
	if removes(d.change) && len(held) > 0 {
		return nil // part of a removal that was held back
	}
	c.agreed++
	return []shadowEvent{{Agreed, d}}
}

// pendingFor returns the pending difference of an object. It is a fresh one if the object had none, or something else is asked for now.
func (c *comparison) pendingFor(
	o managedObject, change haproxy.Change, at time.Time, toolChanges map[managedObject]toolChange,
) (p *difference, fresh bool) {
	var asked registry.Revision
	line := c.timelines[o]
	if line != nil {
		asked = line.last().revision
	}
	did, acted := toolChanges[o]
	p = c.pending[o]
	if fresh = p == nil || p.asked != asked; fresh {
		next := &difference{since: at, firstLook: c.looks + 1, asked: asked, waitsSince: at}
		if p != nil && p.state != ShadowDiffers {
			next.since = p.since // HAProxy has been behind since then
		}
		if p == nil && acted && !c.isNew(line) {
			next.toolDid = did.change
		}
		p = next
		c.pending[o] = p
	}
	p.change = change
	if acted {
		p.unrequested = did.unrequested
	}
	return p, fresh
}

// withEarlyRemovals is a configuration with the servers that the other tool removed before hapsync saw the registry remove them.
func (c *comparison) withEarlyRemovals(config haproxy.Config) haproxy.Config {
	config.Backends = slices.Clone(config.Backends)
	for o, p := range c.pending {
		if gone, ok := p.toolDid.(haproxy.RemoveServer); ok && o.in(config) == nil {
			b, _ := haproxy.FindBackend(config.Backends, gone.Backend)
			b.Name = gone.Backend
			b.Servers = put(slices.Clone(b.Servers), nil, &gone.Server, byServer)
			config.Backends = put(config.Backends, nil, &b, byBackend)
		}
	}
	return config
}

// isNew reports whether the registry asked for something else since the last look.
func (c *comparison) isNew(line *timeline) bool { return line != nil && line.last().after == c.looks }

// assess updates and returns the state of a pending difference. ShadowDiffers stays until the registry asks for something else.
func (c *comparison) assess(p *difference, now time.Time) ShadowState {
	if p.waitsSince.IsZero() {
		p.waitsSince = now
	}
	why := ""
	switch {
	case p.state == ShadowDiffers:
		return p.state
	case p.unrequested:
		why = "the other tool has made it something that the registry has not asked for"
	case c.seenKnown && c.seen >= p.asked:
		why = fmt.Sprintf("the other tool has since acted on revision %d, and has left it", c.seen)
		if p.toolDid != nil {
			why = fmt.Sprintf("the other tool has changed it, although it has acted on revision %d", c.seen)
		}
	}
	switch {
	case why == "":
		p.leftSince = time.Time{}
	case p.leftSince.IsZero():
		p.leftSince = now
	case now.Sub(p.leftSince) >= shadowPatience:
		p.state, p.why = ShadowDiffers, why
		return p.state
	}
	p.state, p.why = ShadowWaits, ""
	if why == "" && now.Sub(p.waitsSince) >= shadowPatience {
		p.state, p.why = ShadowUnanswered, "the other tool has changed nothing since"
		if c.acted.After(p.since) {
			p.why = "the other tool has changed something since, but nothing that the registry has asked for since then"
		}
	}
	return p.state
}

// resetClocks is called if HAProxy or the registry cannot be read, or hapsync would hold everything back: such a time does not count
// against the other tool.
func (c *comparison) resetClocks() {
	for _, p := range c.pending {
		p.leftSince, p.waitsSince = time.Time{}, time.Time{}
	}
}

// differences returns the changes, one for each object, that bring HAProxy to what is wanted. As in a plan, the process may keep the rules
// and backends of removed domains.
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
