package haproxy

import "time"

// A HealthCheck is a check that HAProxy makes of a server, as far as hapsync makes the same: a connection, or a request for Path
// with the Host that is answered with a status of 200 to 399. Path is empty for a mere connection.
type HealthCheck struct {
	Path, Host string
	// Timeout bounds all of it.
	Timeout time.Duration
}
