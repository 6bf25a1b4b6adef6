package haproxy

func (AddBackend) isChange()    {}
func (SetBackend) isChange()    {}
func (RemoveBackend) isChange() {}
func (AddServer) isChange()     {}
func (SetServer) isChange()     {}
func (RemoveServer) isChange()  {}
func (AddRule) isChange()       {}
func (SetRule) isChange()       {}
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
func (c SetRule) Domain() string { return c.Want.Domain }

// Domain implements Change.
func (c RemoveRule) Domain() string { return c.Rule.Domain }

// Op implements Change.
func (AddBackend) Op() Op { return OpAdd }

// Object implements Change.
func (AddBackend) Object() Object { return ObjectBackend }

// Key implements Change.
func (c AddBackend) Key() ServerKey { return ServerKey{Backend: c.Name} }

// Servers implements Change.
func (AddBackend) Servers() (have, want Server) { return Server{}, Server{} }

// Op implements Change.
func (AddServer) Op() Op { return OpAdd }

// Object implements Change.
func (AddServer) Object() Object { return ObjectServer }

// Key implements Change.
func (c AddServer) Key() ServerKey { return ServerKey{c.Backend, c.Server.Name} }

// Servers implements Change.
func (c AddServer) Servers() (have, want Server) { return Server{}, c.Server }

// Op implements Change.
func (AddRule) Op() Op { return OpAdd }

// Object implements Change.
func (AddRule) Object() Object { return ObjectRule }

// Key implements Change.
func (c AddRule) Key() ServerKey { return ServerKey{Backend: c.Rule.Backend()} }

// Servers implements Change.
func (AddRule) Servers() (have, want Server) { return Server{}, Server{} }

// Op implements Change.
func (SetBackend) Op() Op { return OpSet }

// Object implements Change.
func (SetBackend) Object() Object { return ObjectBackend }

// Key implements Change.
func (c SetBackend) Key() ServerKey { return ServerKey{Backend: c.Name} }

// Servers implements Change.
func (SetBackend) Servers() (have, want Server) { return Server{}, Server{} }

// Op implements Change.
func (SetServer) Op() Op { return OpSet }

// Object implements Change.
func (SetServer) Object() Object { return ObjectServer }

// Key implements Change.
func (c SetServer) Key() ServerKey { return ServerKey{c.Backend, c.Want.Name} }

// Servers implements Change.
func (c SetServer) Servers() (have, want Server) { return c.Have, c.Want }

// Op implements Change.
func (RemoveBackend) Op() Op { return OpRemove }

// Object implements Change.
func (RemoveBackend) Object() Object { return ObjectBackend }

// Key implements Change.
func (c RemoveBackend) Key() ServerKey { return ServerKey{Backend: c.Name} }

// Servers implements Change.
func (RemoveBackend) Servers() (have, want Server) { return Server{}, Server{} }

// Op implements Change.
func (RemoveServer) Op() Op { return OpRemove }

// Object implements Change.
func (RemoveServer) Object() Object { return ObjectServer }

// Key implements Change.
func (c RemoveServer) Key() ServerKey { return ServerKey{c.Backend, c.Server.Name} }

// Servers implements Change.
func (c RemoveServer) Servers() (have, want Server) { return c.Server, Server{} }

// Op implements Change.
func (SetRule) Op() Op { return OpSet }

// Object implements Change.
func (SetRule) Object() Object { return ObjectRule }

// Key implements Change.
func (c SetRule) Key() ServerKey { return ServerKey{Backend: c.Want.Backend()} }

// Servers implements Change.
func (SetRule) Servers() (have, want Server) { return Server{}, Server{} }

// Op implements Change.
func (RemoveRule) Op() Op { return OpRemove }

// Object implements Change.
func (RemoveRule) Object() Object { return ObjectRule }

// Key implements Change.
func (c RemoveRule) Key() ServerKey { return ServerKey{Backend: c.Rule.Backend()} }

// Servers implements Change.
func (RemoveRule) Servers() (have, want Server) { return Server{}, Server{} }
