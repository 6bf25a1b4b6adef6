// Package runtimeapi talks to a running HAProxy through its stats socket (socket.go) and its master's socket (master.go). It does not
// know configuration files.
//
// A running process can add servers (from 3.0 with their cookie), remove them, and change their address, weight, limit and state
// (run.go, commands.go, remove.go). Some replies look like success but are not. So replies are matched strictly, and every change is
// read back (backends.go, reader.go). The cache has the last reading (cache.go).
//
// A reload (reload.go) ends when the new worker answers. It can pass on which servers are down (health.go).
package runtimeapi
