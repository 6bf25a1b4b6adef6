package haproxy

import "slices"

// A Scope is the part of the registry that a pass covers: some domains, or everything. The zero Scope is empty.
type Scope struct {
	everything bool
	domains    []string
}

// Everything covers all domains, whatever their names.
func Everything() Scope { return Scope{everything: true} }

// Domains covers some domains.
func Domains(names ...string) Scope {
	names = slices.Clone(names)
	slices.Sort(names)
	return Scope{domains: slices.Compact(names)}
}

// All reports whether the scope is everything.
func (s Scope) All() bool { return s.everything }

// Empty reports whether no domain is in the scope.
func (s Scope) Empty() bool { return !s.everything && len(s.domains) == 0 }

// Names are the domains of the scope, sorted; nil if All. The caller must not modify them.
func (s Scope) Names() []string { return s.domains }

// Has reports whether a domain is in the scope.
func (s Scope) Has(domain string) bool {
	if s.everything {
		return true
	}
	_, ok := slices.BinarySearch(s.domains, domain)
	return ok
}

// An Identity changes if HAProxy was restarted, reloaded or stopped, or if one of its files was edited. It is comparable.
type Identity struct {
	// Worker identifies the process that answers; empty without one.
	Worker string
	// Digest is the digest of the managed file, BaseDigest that of the base file.
	Digest, BaseDigest Digest
	// Down is set if no process answers.
	Down bool
}

// Identity is the part of the state that tells one HAProxy from another.
func (s State) Identity() Identity {
	return Identity{s.Worker, s.Digest, s.BaseDigest, s.Down != nil}
}
