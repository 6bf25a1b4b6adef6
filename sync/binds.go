package sync

import (
	"fmt"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// maxBound problems of a domain are kept.
const maxBound = 100

// holdOwnAddresses takes the hosts of a domain at whose address HAProxy itself listens for such with a bad value: a request for one
// would come back to HAProxy again and again, or show its statistics page.
func holdOwnAddresses(d registry.Domain, prefix string, binds haproxy.Binds) (registry.Domain, []registry.Problem) {
	var bound []registry.Problem
	var held []string
	for _, h := range d.Hosts {
		place := binds.At(h.Addr)
		if place == "" {
			continue
		}
		held = append(held, h.Name)
		if len(bound) < maxBound {
			bound = append(bound, registry.Problem{
				Key:    h.AddressKey(prefix + "/" + d.Name),
				Reason: fmt.Sprintf("address %s is refused: HAProxy itself listens there: %s; register the address of the host's own server", h.Addr, place),
				Domain: d.Name, Host: h.Name,
			})
		}
	}
	if len(held) == 0 {
		return d, nil
	}
	d.Hosts = slices.DeleteFunc(slices.Clone(d.Hosts), func(h registry.Host) bool { return binds.At(h.Addr) != "" })
	d.HeldHosts = slices.Concat(d.HeldHosts, held)
	slices.Sort(d.HeldHosts)
	return d, bound
}

// BesideFiles takes all hosts for such with a bad value at whose address HAProxy itself listens, and those that the managed file has
// and whose keys are unclear.
func BesideFiles(snapshot registry.Snapshot, files haproxy.State) registry.Snapshot {
	snapshot.Domains = slices.Clone(snapshot.Domains)
	for i, d := range snapshot.Domains {
		file, _ := backendOf(files.File, d.Name)
		d, unclear := holdUnclear(d, file, haproxy.Backend{}, files.NotOurs)
		d, bound := holdOwnAddresses(d, snapshot.Prefix, files.Binds)
		snapshot.Domains[i], snapshot.Problems = d, slices.Concat(snapshot.Problems, unclear, bound)
	}
	return snapshot
}
