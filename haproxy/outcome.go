package haproxy

// An Outcome is what became of changes in the running process, read back. What it does not name is in effect.
type Outcome struct {
	// Refused are the changes that HAProxy did not take, removals apart.
	Refused []Failure
	// Draining are the removals whose server is still there: it has sessions, or something else needs it.
	Draining []RemoveServer
}
