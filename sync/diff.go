package sync

import (
	"cmp"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// Diff returns the changes that lead from have to want: first additions, then changes in place, then removals, so that new servers
// take traffic before old ones go. Each of these has backends first, then servers, then rules (removals in reverse), each by name.
// Both configurations must be sorted. The result is empty if they are equal.
func Diff(have, want haproxy.Config) []haproxy.Change {
	var d differ
	merge(have.Backends, want.Backends, byBackend, d.backend)
	merge(have.Rules, want.Rules, byRule, d.rule)
	return slices.Concat(d.ranks[:]...)
}

// A differ collects changes by their rank.
type differ struct{ ranks [9][]haproxy.Change }

func (d *differ) add(c haproxy.Change) {
	r := rank(c)
	d.ranks[r] = append(d.ranks[r], c)
}

func (d *differ) backend(have, want *haproxy.Backend) {
	switch {
	case have == nil:
		d.add(haproxy.AddBackend{Name: want.Name, Options: want.Options})
		d.servers(want.Name, nil, want.Servers)
	case want == nil:
		d.servers(have.Name, have.Servers, nil)
		d.add(haproxy.RemoveBackend{Name: have.Name})
	default:
		if have.Options != want.Options {
			d.add(haproxy.SetBackend{Name: want.Name, Have: have.Options, Want: want.Options})
		}
		d.servers(want.Name, have.Servers, want.Servers)
	}
}

func (d *differ) servers(backend string, have, want []haproxy.Server) {
	merge(have, want, byServer, func(have, want *haproxy.Server) {
		switch {
		case have == nil:
			d.add(haproxy.AddServer{Backend: backend, Server: *want})
		case want == nil:
			d.add(haproxy.RemoveServer{Backend: backend, Server: *have})
		case *have != *want:
			d.add(haproxy.SetServer{Backend: backend, Have: *have, Want: *want})
		}
	})
}

func (d *differ) rule(have, want *haproxy.Rule) {
	switch {
	case have == nil:
		d.add(haproxy.AddRule{Rule: *want})
	case want == nil:
		d.add(haproxy.RemoveRule{Rule: *have})
	case *have != *want:
		d.add(haproxy.SetRule{Have: *have, Want: *want})
	}
}

// rank is the place of a change in the order of Diff.
func rank(c haproxy.Change) int {
	object := slices.Index([]haproxy.Object{haproxy.ObjectBackend, haproxy.ObjectServer, haproxy.ObjectRule}, c.Object())
	switch c.Op() {
	case haproxy.OpAdd:
		return object
	case haproxy.OpSet:
		return 3 + object
	}
	return 8 - object
}

// merge walks two sorted slices together and calls f with each pair of elements that compare as equal. An element that is only on
// one side comes with nil for the other.
func merge[T any](have, want []T, compare func(have, want T) int, f func(have, want *T)) {
	for len(have)+len(want) > 0 {
		order := 0
		switch {
		case len(want) == 0:
			order = -1
		case len(have) == 0:
			order = 1
		default:
			order = compare(have[0], want[0])
		}
		switch {
		case order < 0:
			f(&have[0], nil)
			have = have[1:]
		case order > 0:
			f(nil, &want[0])
			want = want[1:]
		default:
			f(&have[0], &want[0])
			have, want = have[1:], want[1:]
		}
	}
}

func byBackend(a, b haproxy.Backend) int { return cmp.Compare(a.Name, b.Name) }

func byServer(a, b haproxy.Server) int { return cmp.Compare(a.Name, b.Name) }

func byRule(a, b haproxy.Rule) int {
	return cmp.Or(cmp.Compare(a.Frontend, b.Frontend), cmp.Compare(a.Domain, b.Domain))
}

// serversOf returns the servers of a backend; nil if there is no such backend.
func serversOf(c haproxy.Config, backend string) []haproxy.Server {
	b, _ := haproxy.FindBackend(c.Backends, backend)
	return b.Servers
}

// backendOf returns the backend of a domain.
func backendOf(c haproxy.Config, domain string) (haproxy.Backend, bool) {
	return haproxy.FindBackend(c.Backends, haproxy.BackendName(domain))
}

func findServer(c haproxy.Config, key haproxy.ServerKey) (haproxy.Server, bool) {
	b, _ := haproxy.FindBackend(c.Backends, key.Backend)
	return haproxy.FindServer(b, key.Name)
}
