package sync

import (
	"github.com/hapsync/hapsync/haproxy"
)

// A Via is the way on which a change reaches HAProxy.
type Via string

// The ways of a change, in the order in which a pass takes them.
const (
	ViaRuntime     Via = "runtime"     // the Runtime API: at once, without a reload
	ViaTransaction Via = "transaction" // a validated edit of the managed file
	ViaRewrite     Via = "rewrite"     // the managed file written anew
)

// An Action is a change and its way.
type Action struct {
	Via    Via
	Change haproxy.Change
}

// A Plan is what a pass would do. The zero Plan is "in line".
type Plan struct {
	// Actions are sorted: runtime first, additions before removals.
	Actions []Action
	// Rewrite says why the file is written anew; empty where it is not.
	Rewrite string
	// Reload holds the reasons of the reload, sorted; without one there is no reload.
	Reload []string

	want haproxy.Config
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Actions) == 0 && p.Rewrite == "" && len(p.Reload) == 0 }
