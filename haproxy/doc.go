// Package haproxy has the words of HAProxy: what a configuration is, how it changes, what a process can take. It is plain
// data and pure functions, and imports the standard library only.
//
// HAProxy has two truths: a file, which survives a reload, and a process, which ends with it. Both are read into a State:
// the managed part of the file (State.File) and of the process (State.Live), in one type, Config, which is also what is
// wanted, so that one diff serves them all. A Config holds Backends with their Servers, and Rules: an ACL on the Host
// header and the use_backend rule that goes with it. Everything else in a configuration is the operator's.
//
// A Change is one step from a Config to another. Capabilities (version.go) is the only place that knows versions apart:
// Live says whether the running process can take a change.
//
// The packages below do the work:
//
//   - configfile reads and writes HAProxy's files;
//   - runtimeapi speaks with the process, over its stats socket and its master's;
//   - driver joins the two: it is one HAProxy.
//
// What is said of HAProxy was seen on 2.6, 3.0, 3.2 and 3.4.
package haproxy
