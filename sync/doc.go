// Package sync holds the policy of hapsync: what HAProxy should look like, how HAProxy differs from that, how each difference is
// applied best, and when nothing is changed at all. It knows neither etcd nor HAProxy's files and sockets.
//
// # A pass
//
// There is one kind of pass. Its scope is some domains, or everything. It does this (pass.go):
//
//	state := process.Cached(scope), else process.State(scope)  // read: from the cache first, then from HAProxy
//	want  := layout.Desired(snapshot, state)                   // want.go: what the registry asks for
//	plan  := newPlan(want, state)                              // plan.go, diff.go: runtime, file, reload
//	err   := policy.check(removals)                            // policy.go: whether to do it
//	out   := process.Run(slice(plan.early()))                  // the changes that need not wait for the file, read back
//	res   := deploy(file, job)                                 // deployer.go: the file, haproxy -c, a reload if needed
//	rest  :  another pass over the domains that waited for the file
//
// Syncer.Sync does that once, in one goroutine (syncer.go). What is wanted, what the file says and what the process runs have the same
// type, and one Diff compares them. So a pass treats all these the same, as a difference: a pass that was killed, a file that was
// edited by hand, a server that was set on the socket, and a HAProxy that restarted with an old configuration.
//
// # The way of one change in an agent
//
// A change of the registry goes into the inbox (view.go) and wakes the loop (loop.go). The loop makes a pass over the changed domains:
// traffic moves within milliseconds. The result goes into the memory, which has a state for each domain (memory.go); only take.go
// changes it. What the file should say goes to the deployer as a job (jobs.go, deployer.go): at once if a domain waits for it, else
// after a second, together with all other changes of that second. The deployer is another goroutine. It owns the file, haproxy -c, the
// quarantine of what HAProxy refuses (quarantine.go), the reloads and the lock. The loop never waits for it. There is one job at a
// time; the next one is made from the memory when the deployer is free. The loop takes the result of the job, and makes a pass over the
// domains that waited.
//
// At a resync, another goroutine reads all of HAProxy (look.go). The loop makes a pass over what has changed there; over everything only
// if that is not enough. The registry is listed, and the follower tells what differs.
//
// A domain waits for the file or a reload if more than its servers change; other domains do not wait. If HAProxy refuses a domain, as
// little of it as possible is left as it was, and it is tried again later; the other domains go on, in the process and in the file. What an
// agent reports as applied (status.go, reporter.go) is the low watermark: the last revision that the process has completely, and does not
// lose by a reload.
package sync
