package sync

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// snapshotCounts is what reports say of a snapshot. It is updated for the domains that change, so that a quick pass costs nothing for
// the others. Its slices are shared and never written to.
type snapshotCounts struct {
	of             registry.Snapshot
	domains, hosts int
	// pending is as in Report; drained are the hosts in drain or maint.
	pending []string
	drained []haproxy.ServerKey
}

// countSnapshot counts a whole snapshot.
func countSnapshot(snapshot registry.Snapshot) snapshotCounts {
	t := snapshotCounts{of: snapshot}
	for _, d := range snapshot.Domains {
		t.add(*d, 1)
		t.drained, t.pending = append(t.drained, drained(*d)...), append(t.pending, pending(*d)...)
	}
	return t
}

// update counts a later snapshot, which differs only in these domains.
func (t snapshotCounts) update(snapshot registry.Snapshot, domains []string) snapshotCounts {
	next := t
	next.of = snapshot
	for _, name := range domains {
		was, _ := domainOf(t.of, name)
		is, _ := domainOf(snapshot, name)
		next.add(was, -1)
		next.add(is, 1)
		next.drained = replaceSorted(next.drained, drained(was), drained(is), byServerKey)
		next.pending = replaceSorted(next.pending, pending(was), pending(is), byPath)
	}
	return next
}

func (t *snapshotCounts) add(d registry.Domain, sign int) {
	t.hosts += sign * len(d.Hosts)
	if len(d.Hosts) > 0 {
		t.domains += sign
	}
}

func drained(d registry.Domain) (names []haproxy.ServerKey) {
	for _, h := range d.Hosts {
		if h.State != registry.Ready {
			names = append(names, haproxy.ServerKey{Backend: haproxy.BackendName(d.Name), Name: h.Name})
		}
	}
	return names
}

func pending(d registry.Domain) (lines []string) {
	for _, p := range d.Pending {
		lines = append(lines, fmt.Sprintf("%s/%s: %s is missing", d.Name, p.Host, p.Missing))
	}
	return lines
}

// replaceSorted is a copy of all with is in place of was.
func replaceSorted[T comparable](all, was, is []T, order func(a, b T) int) []T {
	if slices.Equal(was, is) {
		return all
	}
	next := slices.DeleteFunc(slices.Clone(all), func(v T) bool { return slices.Contains(was, v) })
	next = append(next, is...)
	slices.SortFunc(next, order)
	return next
}

// byPath orders "domain/host: ..." by domain, then by host.
func byPath(a, b string) int {
	domainA, hostA := cutPath(a)
	domainB, hostB := cutPath(b)
	return cmp.Or(cmp.Compare(domainA, domainB), cmp.Compare(hostA, hostB))
}

// cutPath cuts "domain/host".
func cutPath(path string) (domain, host string) {
	domain, host, _ = strings.Cut(path, "/")
	return domain, host
}
