package haproxy

// An Outcome is what became of changes in the running process, read back. What it does not name is in effect.
type Outcome struct {
	// Refused are the changes that HAProxy did not take, removals apart.
	Refused []Failure
	// Draining are the removals whose server is still there: it has sessions, or something else needs it.
	Draining []RemoveServer
	// Staying are the removals whose backend is still there: it has servers or sessions.
	Staying []RemoveBackend
}

// An Edit is what the managed file is to say.
type Edit struct {
	Want Config
	// Base is the digest of the file that the edit was made for; another one is ErrConflict.
	Base Digest
	// Rewrite asks for the file to be written as text, and says why; empty means a transaction where one can edit the
	// file without loss.
	Rewrite string
}
