package sync

import (
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// withoutTaken takes, in place, from domains that have their names from HAProxy's file, because the registry says nothing good of them, those that
// the registry gives another domain.
func withoutTaken(asked haproxy.Config, snapshot registry.Snapshot) haproxy.Config {
	for i, b := range asked.Backends {
		domain, _ := haproxy.DomainOf(b.Name)
		if d, _ := domainOf(snapshot, domain); b.Options.Names == "" || b.Options.Names == d.Options.Aliases {
			continue
		}
		names := slices.DeleteFunc(strings.Fields(b.Options.Names), func(name string) bool {
			return slices.ContainsFunc(snapshot.Domains, func(d registry.Domain) bool {
				return d.Name != domain && (d.Name == name || d.Options.Aliases != "" && slices.Contains(d.Options.Names(), name))
			})
		})
		slices.Sort(names)
		asked.Backends[i].Options.Names = strings.Join(slices.Compact(names), " ")
	}
	return asked
}
