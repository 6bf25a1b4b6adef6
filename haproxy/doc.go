// Package haproxy is hapsync's side of HAProxy: it reads what HAProxy is told and what it runs, and changes either.
//
// # Two truths
//
// HAProxy has a file, which survives a reload, and a process, which ends with it. Both are read into a State: the
// managed part of the file (State.File) and of the process (State.Live), in one type, Config. A Config holds Backends
// with their Servers, and Rules: an ACL on the Host header and the use_backend rule that goes with it. Everything
// else in a configuration is the operator's, and none of hapsync's business.
//
// What is managed is told by its shape alone (managed.go): an ACL is_D on hdr(host) -i D, a rule use_backend D_cluster
// if is_D, and a backend D_cluster. There are no marker comments and no list kept elsewhere, so that a configuration of
// that shape is taken over as it is, and what has our names without our shape is foreign.
//
// # The file
//
// A file is read as text (text.go): every byte belongs to one line, every line to one section. It is changed in one of
// two ways. Commit edits it in a client-native transaction (transaction.go), but only a file that client-native
// prints as it stands once it has parsed it: it is a normaliser, not an editor, and drops what it does not
// know. Rewrite splices hapsync's own lines into the text (splice.go) and leaves every other byte. Both give the same
// bytes where both can be used. The result is read back by hapsync's own reader and by config-parser (verify.go),
// validated by haproxy -c beside the file it replaces (check.go), and put in place by a rename (install.go), if the
// file is still the one that was read.
//
// # The process
//
// A running process takes servers: their address, weight, limit and state, new ones (from 3.0 with their cookie) and
// their removal (run.go, orders.go, remove.go), over the Runtime API of a stats socket (socket.go). It answers much that
// looks like success and is none, so that replies are matched strictly and every change is read back (live.go). It
// cannot tell its rules: what it has loaded is kept beside the managed file, as a copy that names the worker (process.go).
//
// What it cannot take comes by a reload (reload.go, reloading.go), which is over when the new worker answers; servers that
// are known to be down stay so (health.go). A reload that HAProxy refuses leaves the old worker, and the file as it was.
//
// Capabilities (version.go) is the only place that knows versions apart. What is said of HAProxy was seen on 2.6, 3.0,
// 3.2 and 3.4.
package haproxy
