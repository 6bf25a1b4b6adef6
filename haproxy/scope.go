package haproxy

import "slices"

// A Scope is what a pass is about: some domains, or everything. The zero Scope is no domain at all.
type Scope struct {
	everything bool
	domains    []string
}

// Everything is the scope of all domains, whatever their names.
func Everything() Scope { return Scope{everything: true} }

// Domains is the scope of some domains.
func Domains(names ...string) Scope {
	names = slices.Clone(names)
	slices.Sort(names)
	return Scope{domains: slices.Compact(names)}
}

// All reports whether the scope is everything.
func (s Scope) All() bool { return s.everything }

// Empty reports whether no domain is in the scope.
func (s Scope) Empty() bool { return !s.everything && len(s.domains) == 0 }

// Names are the domains of the scope, sorted; nil where it is everything. The caller does not write to them.
func (s Scope) Names() []string { return s.domains }

// Has reports whether a domain is in the scope.
func (s Scope) Has(domain string) bool {
	if s.everything {
		return true
	}
	_, ok := slices.BinarySearch(s.domains, domain)
	return ok
}

// An Identity tells that HAProxy was restarted, reloaded or stopped, or that one of its files was edited: it is then
// another one than before. It is comparable.
type Identity struct {
	// Worker names the process that answers; empty without one.
	Worker string
	// Digest is that of the managed file, BaseDigest that of the base file.
	Digest, BaseDigest Digest
	// Down is set where no process answers.
	Down bool
}

// Identity is what the state says of who HAProxy is.
func (s State) Identity() Identity {
	return Identity{s.Worker, s.Digest, s.BaseDigest, s.Down != nil}
}
