// Package daemon is hapsync agent as a process, around sync.Agent: what it answers over HTTP (http.go), its metrics (metrics.go),
// where it listens (listen.go), what systemd is told (systemd.go), the watchdog of its passes, and the change of settings at
// a SIGHUP (daemon.go). It knows nothing of flags. A new metric is a line in measures (metrics.go).
package daemon
