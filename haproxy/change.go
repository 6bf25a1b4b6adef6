package haproxy

import (
	"fmt"
	"strconv"
	"strings"
)

// A Change is one step from a Config to another. The set is closed; changes are plain data and comparable.
type Change interface {
	// String is the sign, the kind of object, its name and what it is or becomes, on one line.
	fmt.Stringer
	// Domain is the domain that the change is about.
	Domain() string
	isChange()
}

// The changes.
type (
	// AddBackend adds a backend without servers.
	AddBackend struct {
		Name    string
		Options BackendOptions
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
	// RemoveRule removes an ACL and its use_backend rule.
	RemoveRule struct{ Rule Rule }
)

func (AddBackend) isChange()    {}
func (SetBackend) isChange()    {}
func (RemoveBackend) isChange() {}
func (AddServer) isChange()     {}
func (SetServer) isChange()     {}
func (RemoveServer) isChange()  {}
func (AddRule) isChange()       {}
func (RemoveRule) isChange()    {}

func domainOf(backend string) string {
	domain, _ := DomainOf(backend)
	return domain
}

// Domain implements Change.
func (c AddBackend) Domain() string { return domainOf(c.Name) }

// Domain implements Change.
func (c SetBackend) Domain() string { return domainOf(c.Name) }

// Domain implements Change.
func (c RemoveBackend) Domain() string { return domainOf(c.Name) }

// Domain implements Change.
func (c AddServer) Domain() string { return domainOf(c.Backend) }

// Domain implements Change.
func (c SetServer) Domain() string { return domainOf(c.Backend) }

// Domain implements Change.
func (c RemoveServer) Domain() string { return domainOf(c.Backend) }

// Domain implements Change.
func (c AddRule) Domain() string { return c.Rule.Domain }

// Domain implements Change.
func (c RemoveRule) Domain() string { return c.Rule.Domain }

func (c AddBackend) String() string {
	return "+ backend " + c.Name + " " + c.Options.String()
}

func (c SetBackend) String() string {
	return "~ backend " + c.Name + " " + c.Have.String() + " -> " + c.Want.String()
}

func (c RemoveBackend) String() string { return "- backend " + c.Name }

func (c AddServer) String() string {
	return "+ server " + c.Backend + "/" + c.Server.Name + " " + c.Server.String()
}

func (c SetServer) String() string {
	return "~ server " + c.Backend + "/" + c.Want.Name + " " + c.Have.String() + " -> " + c.Want.String()
}

func (c RemoveServer) String() string {
	return "- server " + c.Backend + "/" + c.Server.Name
}

func (c AddRule) String() string {
	return "+ use_backend rule of " + c.Rule.Domain + " in " + c.Rule.Frontend
}

func (c RemoveRule) String() string {
	return "- use_backend rule of " + c.Rule.Domain + " in " + c.Rule.Frontend
}

// String is what a person reads in a plan.
func (o BackendOptions) String() string {
	s := "balance " + o.Balance
	if o.Balance == "" {
		s = "no balance"
	}
	if o.Cookie != StickyCookie {
		s += ", cookie " + strconv.Quote(o.Cookie)
	}
	if o.Check != "" {
		s += ", check " + o.Check
	}
	return s
}

// String is the server's line without its name, as a person reads it in a plan: what is at its default is left out.
func (s Server) String() string {
	words := []string{s.Addr.String()}
	if s.Cookie != "" {
		words = append(words, "cookie "+s.Cookie)
	}
	if !s.Check {
		words = append(words, "no check")
	}
	if s.Weight != 1 {
		words = append(words, "weight "+strconv.Itoa(s.Weight))
	}
	if s.MaxConn != 0 {
		words = append(words, "maxconn "+strconv.Itoa(s.MaxConn))
	}
	if s.Backup {
		words = append(words, "backup")
	}
	if s.State != Ready {
		words = append(words, string(s.State))
	}
	if s.Params != "" {
		words = append(words, s.Params)
	}
	return strings.Join(words, " ")
}
