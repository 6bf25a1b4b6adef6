// Package haproxy has HAProxy's terms as plain data and pure functions: a configuration, its changes, and what each version can do.
// It imports the standard library only.
//
// HAProxy has a file, which survives a reload, and a process, which does not. A State holds the managed part of both: State.File and
// State.Live. Both are a Config, and so is what is wanted: one diff compares them all. A Config holds Backends with their Servers,
// and Rules: an ACL on the Host header with its use_backend rule. The rest of the configuration belongs to the operator.
//
// A Change is one step from a Config to another. Capabilities (version.go) say whether the running process can make it; no other code
// compares versions.
//
// The packages below do the work:
//
//   - configfile reads and writes HAProxy's files;
//   - runtimeapi talks to the process, through its stats socket and its master's;
//   - driver joins both: it is one HAProxy.
//
// What the comments say about HAProxy was tested with 2.6, 3.0, 3.2 and 3.4.
package haproxy
