// Package sync holds the policy of hapsync: what HAProxy should look like, how that differs from what it is, by which
// way each difference is best applied, and when not to act at all. It knows neither etcd nor HAProxy's wire.
//
// A pass reads a snapshot of the registry and HAProxy's state, and tells in four lines what it does:
//
//	want := layout.Desired(snapshot, state)       // what HAProxy should have
//	plan := NewPlan(want, state)                  // how to get there: runtime, transaction or rewrite, reload
//	err  := policy.check(plan's removals)         // whether to
//	err   = apply(plan)                           // and that
//
// There is one type for the three views of HAProxy (what is wanted, what the file says, what the process runs) and one
// Diff. A pass that was killed, a file that was edited by hand, a server that someone set on the socket and a HAProxy
// that came back with an old configuration are all the same to it: a difference.
package sync
