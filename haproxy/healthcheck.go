package haproxy

import "time"

// A HealthCheck is a check that HAProxy makes of a server, as far as hapsync makes the same: a connection, or a request for Path
// with the Host that is answered with one of Status. Path is empty for a mere connection.
type HealthCheck struct {
	Path, Host string
	// Status are codes and ranges of them, such as "200-299,401"; empty for 200 to 399.
	Status string
	// Timeout bounds all of it.
	Timeout time.Duration
}
