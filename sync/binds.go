package sync

import (
	"fmt"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// maxAddressProblems is how many hosts at HAProxy's own addresses get a problem, for each domain.
const maxAddressProblems = 100

// holdOwnAddresses moves hosts whose address is one of HAProxy's own listeners to HeldHosts, like hosts with a bad value, and returns
// their problems. Otherwise HAProxy would send requests to itself again and again, or serve its statistics page.
func holdOwnAddresses(d registry.Domain, prefix string, binds haproxy.Binds) (registry.Domain, []registry.Problem) {
	var problems []registry.Problem
	var held []string
	for _, h := range d.Hosts {
		place := binds.At(h.Addr)
		if place == "" {
			continue
		}
		held = append(held, h.Name)
		if len(problems) < maxAddressProblems {
			problems = append(problems, registry.Problem{
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
	return d, problems
}

// BesideFiles returns the snapshot with two kinds of hosts moved to HeldHosts: those at an address where HAProxy itself listens, and
// those with unclear keys that the managed file has a server for.
func BesideFiles(snapshot registry.Snapshot, files haproxy.State) registry.Snapshot {
	snapshot.Domains = slices.Clone(snapshot.Domains)
	for i, d := range snapshot.Domains {
		file, _ := backendOf(files.File, d.Name)
		d, unclear := holdUnclear(*d, file, haproxy.Backend{}, files.NotOurs)
		d, own := holdOwnAddresses(d, snapshot.Prefix, files.Binds)
		snapshot.Domains[i], snapshot.Problems = &d, slices.Concat(snapshot.Problems, unclear, own)
	}
	return snapshot
}
