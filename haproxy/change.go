package haproxy

import (
	"fmt"
)

// A Change is one step from a Config to another. The set is closed; changes are plain data and comparable.
type Change interface {
	// String is the sign, the kind of object, its name and what it is or becomes, on one line.
	fmt.Stringer
	// Domain is the domain that the change is about.
	Domain() string
	// Op and Object say what is done to what.
	Op() Op
	Object() Object
	// Key names the backend and, for a change of a server, the server.
	Key() ServerKey
	// Servers are the server before and after: have is zero for one that is added, want for one that is removed, both for
	// another object.
	Servers() (have, want Server)
	isChange()
}

// An Op is what a change does.
type Op string

// The operations.
const (
	OpAdd    Op = "add"
	OpSet    Op = "set"
	OpRemove Op = "remove"
)

// An Object is what a change is about.
type Object string

// The objects.
const (
	ObjectBackend Object = "backend"
	ObjectServer  Object = "server"
	ObjectRule    Object = "rule"
)

// A ServerKey names a server.
type ServerKey struct{ Backend, Name string }

// String is HAProxy's way to write it.
func (k ServerKey) String() string { return k.Backend + "/" + k.Name }

// Domain is that of the backend.
func (k ServerKey) Domain() string { return domainOf(k.Backend) }

// The changes.
type (
	// AddBackend adds a backend without servers.
	AddBackend struct {
		Name    string
		Options BackendOptions
		// InSpare is set where a spare backend becomes it.
		InSpare bool
	}
	// SetBackend changes the options of a backend.
	SetBackend struct {
		Name       string
		Have, Want BackendOptions
	}
	// RemoveBackend removes a backend that has no servers left.
	RemoveBackend struct{ Name string }

	// AddServer adds a server to a backend.
	AddServer struct {
		Backend string
		Server  Server
	}
	// SetServer changes a server in place.
	SetServer struct {
		Backend    string
		Have, Want Server
	}
	// RemoveServer takes a server out of a backend.
	RemoveServer struct {
		Backend string
		Server  Server
		// Dead: the host is known to be gone, so that there is nothing to drain.
		Dead bool
	}

	// AddRule adds an ACL and its use_backend rule.
	AddRule struct{ Rule Rule }
	// SetRule changes which hosts an ACL takes.
	SetRule struct{ Have, Want Rule }
	// RemoveRule removes an ACL and its use_backend rule.
	RemoveRule struct{ Rule Rule }
)

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
