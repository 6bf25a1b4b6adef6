package sync

import (
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A ShadowStatus is what a Shadow has found. It is never written to.
type ShadowStatus struct {
	// Changes are those that HAProxy does not have as hapsync would have made them, the oldest first.
	Changes []ShadowChange
	// Agreed counts the changes that the other tool made as hapsync would have, Differed those that it did not, and those of its own.
	Agreed, Differed int
	// Acted is when the other tool changed HAProxy last; zero if it has not been seen to.
	Acted time.Time
}

// A ShadowState is what is to be thought of a change that HAProxy does not have as hapsync would have made it.
type ShadowState string

// The states of such changes.
const (
	ShadowWaits      ShadowState = "waiting"    // the other tool may be about to make it
	ShadowUnanswered ShadowState = "unanswered" // it has not, and has done nothing that shows that it has seen it
	ShadowDiffers    ShadowState = "different"  // it has seen it and has not made it, or has made another one
)

// A ShadowChange is a change that HAProxy does not have as hapsync would have made it.
type ShadowChange struct {
	EntryChange
	// Revision is the registry's that asks for it; 0 if it was so before the first look.
	Revision registry.Revision
	Since    time.Time
	State    ShadowState
	Why      string // empty while it waits
}

// Count is the number of changes in a state.
func (s ShadowStatus) Count(state ShadowState) int {
	n := 0
	for _, c := range s.Changes {
		if c.State == state {
			n++
		}
	}
	return n
}

// A ShadowVerdict is what an entry of a shadow tells of its changes.
type ShadowVerdict string

// What is told of changes.
const (
	WouldMake     ShadowVerdict = "would"      // hapsync would make them now
	Agreed        ShadowVerdict = "same"       // the other tool has made the same
	NotAnswered   ShadowVerdict = "unanswered" // nothing shows that it has seen them
	Differs       ShadowVerdict = "different"  // it has not made them, or others
	DiffersNoMore ShadowVerdict = "settled"    // HAProxy has them now, or they are no longer asked for
)

// shadowEvent is something new about one change.
type shadowEvent struct {
	kind ShadowVerdict
	difference
}

// A viaOf says by which way hapsync would make a change.
type viaOf map[managedObject]Via

// viasOf are the ways of a plan. Each change is made in the file; one that is made in the process as well counts as that.
func viasOf(p Plan) viaOf {
	ways := viaOf{}
	for _, a := range p.Actions {
		if t := objectOf(a.Change); ways[t] == "" {
			ways[t] = a.Via
		}
	}
	return ways
}

func (ways viaOf) of(c haproxy.Change) Via {
	if via := ways[objectOf(c)]; via != "" {
		return via
	}
	return ViaTransaction
}
