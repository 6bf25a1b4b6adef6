package haproxy

import "fmt"

// Dynamic says which domains a running process can take, or give up, without a reload (HAProxy 3.4 and later). The zero Dynamic: none.
type Dynamic struct {
	// Allowed is set where the process has the commands, and the settings do not rule them out.
	Allowed bool
	// Defaults are the named defaults sections that give a new backend all that its lines in the file would give it, by its options.
	Defaults map[BackendOptions]string
	// Routes are the frontends in which a new domain's entry in the map does what its rule would do, with whether they take a
	// Host with any port.
	Routes map[string]bool
	// Named are the further names of the domains that the process has loaded: their lines stand above the map's rule.
	Named map[string]bool
	// Added are the backends that hapsync has added to the process, Unpublished those of the file that it has unpublished.
	Added, Unpublished map[string]bool
}

// Live reports whether a change of a backend or a rule can be made in the process; if not, why says what stands in the way.
func (d Dynamic) Live(change Change) (ok bool, why string) {
	if !d.Allowed {
		return false, ""
	}
	switch ch := change.(type) {
	case AddBackend:
		return d.Defaults[ch.Options] != "", "no named defaults section gives a backend what the file would"
	case RemoveBackend:
		return d.Added[ch.Name], "the file has the backend"
	case AddRule:
		if d.Named[ch.Rule.Domain] {
			return false, "HAProxy has " + ch.Rule.Domain + " as a further name of another domain"
		}
		anyPort, there := d.Routes[ch.Rule.Frontend]
		return d.Unpublished[ch.Rule.Backend()] || there && anyPort == ch.Rule.AnyPort,
			fmt.Sprintf("frontend %s has no map rule that takes %s", ch.Rule.Frontend, ch.Rule.Hosts())
	case RemoveRule:
		return true, ""
	}
	return false, ""
}
