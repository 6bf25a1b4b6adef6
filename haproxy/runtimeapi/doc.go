// Package runtimeapi speaks with a running HAProxy: over its stats socket (socket.go) and its master's (master.go). It
// knows nothing of configuration files.
//
// A running process takes servers: their address, weight, limit and state, new ones (from 3.0 with their cookie) and
// their removal (run.go, commands.go, remove.go). It answers much that looks like success and is none, so that replies
// are matched strictly and every change is read back (backends.go, reader.go). What was read last is cached (cache.go).
//
// A reload (reload.go) is over when the new worker answers. Which servers are down can go with it (health.go).
package runtimeapi
