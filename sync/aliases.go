package sync

import (
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// withoutTakenAliases takes, in place, from domains that have their names from HAProxy's file, because the registry says nothing good of them,
// those that the registry gives another domain.
func withoutTakenAliases(asked haproxy.Config, snapshot registry.Snapshot) haproxy.Config {
	var owners map[string]string
	for i, b := range asked.Backends {
		domain, _ := haproxy.DomainOf(b.Name)
		if d, _ := domainOf(snapshot, domain); b.Options.Names == "" || b.Options.Names == d.Options.Aliases {
			continue
		}
		if owners == nil {
			owners = ownersOf(snapshot)
		}
		names := slices.DeleteFunc(strings.Fields(b.Options.Names), func(name string) bool {
			_, isDomain := domainOf(snapshot, name)
			owner := owners[name]
			return isDomain || owner != "" && owner != domain
		})
		slices.Sort(names)
		asked.Backends[i].Options.Names = strings.Join(slices.Compact(names), " ")
	}
	return asked
}

// ownersOf are the domains by their aliases.
func ownersOf(snapshot registry.Snapshot) map[string]string {
	owners := map[string]string{}
	for _, d := range snapshot.Domains {
		for _, name := range d.Options.Names() {
			owners[name] = d.Name
		}
	}
	return owners
}
