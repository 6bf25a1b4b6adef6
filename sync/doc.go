// Package sync holds the policy of hapsync: what HAProxy should look like, how that differs from what it is, by which
// way each difference is best applied, and when not to act at all. It knows neither etcd nor HAProxy's wire.
//
// # A pass
//
// There is one kind of pass. It has a scope, some domains or everything, and does this (pass.go):
//
//	state := process.Cached(scope), else process.State(scope)  // read: from the cache first, then from HAProxy
//	want  := layout.Desired(snapshot, state)                   // want.go: what the registry asks for
//	plan  := newPlan(want, state)                              // plan.go, diff.go: runtime, file, reload
//	err   := policy.check(plan's removals)                     // policy.go: whether to
//	out   := process.Run(slice(plan.early()))                  // what does not wait for the file, so much at a time; read back
//	res   := deploy(file, job)                                 // deployer.go: the file, haproxy -c, a reload if one is needed
//	rest  :  another pass over what waited for the file
//
// Syncer.Sync does that once, in line (syncer.go). There is one type for the three views of HAProxy (what is wanted, what the
// file says, what the process runs) and one Diff. A pass that was killed, a file that was edited by hand, a server that someone
// set on the socket and a HAProxy that came back with an old configuration are all the same to it: a difference.
//
// # The way of one change in an agent
//
// A change of the registry comes into the inbox (agent.go), which wakes the loop (loop.go). The loop makes a pass over the domains
// that changed: traffic has moved within milliseconds. What it learnt goes into the memory, a state for each domain, by one function,
// take (memory.go). What the file has to say goes to the deployer as a job (deployer.go): at once where a domain waits for it,
// else after a second, with all that gathers until then. The deployer is another goroutine: it owns the file, haproxy -c, the
// quarantine of what HAProxy refuses (quarantine.go), reloads and the lock. The loop never waits for it; there is one job at a
// time, and the next one is made of what the memory has by then. Its result comes back to the loop, which takes it, and
// makes a pass over the domains that waited.
//
// A domain waits for the file or a reload if more than its servers change; no other domain does. What is refused of one domain is
// left as it was, as far as it has to be, and tried again later; the others go on, in the process and in the file. What an agent
// reports as applied (status.go, reporter.go) is the low watermark: the last revision of which no domain lacks anything in the
// process.
package sync
