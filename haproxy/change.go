package haproxy

import "fmt"

// A Change is one step from a Config to another. Changes are plain data and comparable. No other package adds types of changes.
type Change interface {
	// String is one line: the sign, the kind of object, its name, and what it is or becomes.
	fmt.Stringer
	// Domain is the domain that the change is about.
	Domain() string
	// Op and Object say what is done, and to what.
	Op() Op
	Object() Object
	// Key names the backend. For the change of a server it names the server, too.
	Key() ServerKey
	// Servers are the server before and after. have is zero for an added server, want for a removed one. Both are zero for
	// changes of other objects.
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

// String is HAProxy's notation, backend/server.
func (k ServerKey) String() string { return k.Backend + "/" + k.Name }

// Domain is the domain of the backend.
func (k ServerKey) Domain() string { return domainOf(k.Backend) }

// The changes.
type (
	// AddBackend adds a backend without servers.
	AddBackend struct {
		Name    string
		Options BackendOptions
		// InSpare is set if a spare backend takes the role.
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
		// Dead is set if the host is known to be gone: there is nothing to drain.
		Dead bool
	}

	// AddRule adds an ACL and its use_backend rule.
	AddRule struct{ Rule Rule }
	// SetRule changes which Host headers an ACL matches.
	SetRule struct{ Have, Want Rule }
	// RemoveRule removes an ACL and its use_backend rule.
	RemoveRule struct{ Rule Rule }
)

// An Outcome is the result of changes in the running process, read back. A change that it does not list is in effect.
type Outcome struct {
	// Refused are the changes that HAProxy refused, except removals.
	Refused []Failure
	// Draining are the removals whose server is still there: it has sessions, or something else needs it.
	Draining []RemoveServer
	// Staying are the removals whose backend is still there: it has servers or sessions.
	Staying []RemoveBackend
}

// An Edit is the wanted content of the managed file.
type Edit struct {
	Want Config
	// Base is the digest of the file that Want was made for. If the file has another one, the result is ErrConflict.
	Base Digest
	// Rewrite is the reason to write the file as text; empty means a transaction, if one can edit the file without loss.
	Rewrite string
}
