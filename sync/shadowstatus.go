package sync

import (
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A ShadowStatus is what a Shadow has found. Nothing may write to it.
type ShadowStatus struct {
	// Changes are the ones that HAProxy does not have as hapsync would have made them, the oldest first.
	Changes []ShadowChange
	// Agreed counts the changes that the other tool made as hapsync would have made them. Differed counts those that it did not make,
	// or made on its own.
	Agreed, Differed int
	// Acted is when the other tool changed HAProxy last; zero if no change of it was seen.
	Acted time.Time
}

// A ShadowState says whether the other tool is at fault for a ShadowChange.
type ShadowState string

// The states of a ShadowChange.
const (
	ShadowWaits      ShadowState = "waiting"    // the other tool may still make it
	ShadowUnanswered ShadowState = "unanswered" // it has not made it, and nothing shows that it has seen it
	ShadowDiffers    ShadowState = "different"  // it has seen it but not made it, or made another change
)

// A ShadowChange is a change that HAProxy does not have as hapsync would have made it.
type ShadowChange struct {
	EntryChange
	// Revision is the registry's revision that asks for it; 0 if that was before the first look.
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

// A ShadowVerdict is the kind of an Entry of a Shadow.
type ShadowVerdict string

// The verdicts on the changes of an Entry.
const (
	WouldMake     ShadowVerdict = "would"      // hapsync would make them now
	Agreed        ShadowVerdict = "same"       // the other tool made the same changes
	NotAnswered   ShadowVerdict = "unanswered" // nothing shows that it has seen them
	Differs       ShadowVerdict = "different"  // it did not make them, or made others
	DiffersNoMore ShadowVerdict = "settled"    // HAProxy has them now, or the registry no longer asks for them
)

// A shadowEvent is something new about one change.
type shadowEvent struct {
	kind ShadowVerdict
	difference
}

// A viaOf says how hapsync would make the change of an object.
type viaOf map[managedObject]Via

// viasOf returns the ways of a plan's changes. Each change is made in the file. If it is also made in the process, that way counts.
func viasOf(p Plan) viaOf {
	ways := viaOf{}
	for _, a := range p.Actions {
		if o := objectOf(a.Change); ways[o] == "" {
			ways[o] = a.Via
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
