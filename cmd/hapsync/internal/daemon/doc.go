// Package daemon is hapsync agent as a process, around sync.Agent: HTTP (http.go), metrics (metrics.go), the address
// (listen.go), systemd (systemd.go), the watchdog of the passes (watchdog.go), and new settings at a SIGHUP (daemon.go). It
// knows no flags. A new metric is a line in measures (metrics.go).
package daemon
