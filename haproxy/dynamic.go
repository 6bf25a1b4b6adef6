package haproxy

import "fmt"

// Dynamic says which domains a running process can add and remove without a reload. The zero Dynamic means none.
type Dynamic struct {
	// Allowed is set if the process has the commands for backends (HAProxy 3.4) and Settings.StaticDomains is not set.
	Allowed bool
	// Defaults are, by options, the named defaults sections that give a new backend everything that its lines in the file would.
	Defaults map[BackendOptions]string
	// Spares are the numbers of free spare backends, by their options (before 3.4). The value is 0 if all with these options are in use.
	Spares map[BackendOptions]int
	// Routes are the frontends in which an entry of the map has the effect of a new domain's rule. The value says whether it matches
	// the Host header with any port.
	Routes map[string]bool
	// ByMap says for each frontend whether the process routes its domains by the map. Names can then change without a reload.
	ByMap map[string]bool
	// Named are the other names of the domains that the process has loaded. Their lines come before the map's rule.
	Named map[string]bool
	// Added are the backends that hapsync added to the process. Unpublished are backends of the file that it unpublished.
	Added, Unpublished map[string]bool
	// InSpare names, for a backend of Added, the spare backend that has its role.
	InSpare map[string]string
}

// Live reports whether the process can make a change of a backend or a rule; if not, why gives the reason.
func (d Dynamic) Live(change Change) (ok bool, why string) {
	switch ch := change.(type) {
	case AddBackend:
		return d.Allowed && d.Defaults[d.Fresh(ch.Options)] != "" || d.Spares[d.Fresh(ch.Options)] > 0,
			"no named defaults section gives a backend what the file would"
	case SetBackend:
		return d.setBackend(ch), "the options of a backend cannot change in a running process"
	case RemoveBackend:
		return (d.Allowed || d.InSpare[ch.Name] != "") && d.Added[ch.Name], "the file has the backend"
	case AddRule:
		return d.addRule(ch.Rule)
	case RemoveRule:
		return d.Allowed || ch.Rule.ByMap || d.InSpare[ch.Rule.Backend()] != "", ""
	}
	return false, ""
}

// Fresh are the options that a new backend must have from the start. The map provides the others.
func (d Dynamic) Fresh(o BackendOptions) BackendOptions {
	if d.namesByMap() {
		return o.WithoutExactNames()
	}
	return o
}

func (d Dynamic) addRule(r Rule) (ok bool, why string) {
	anyPort, routed := d.Routes[r.Frontend]
	canAdd := r.ByMap || d.Allowed || len(d.Spares) > 0 || d.InSpare[r.Backend()] != ""
	switch {
	case !canAdd || r.ByMap != d.ByMap[r.Frontend]:
		return false, ""
	case d.Named[r.Domain]:
		return false, "HAProxy has " + r.Domain + " as a further name of another domain"
	}
	return d.Unpublished[r.Backend()] || routed && anyPort == r.AnyPort,
		fmt.Sprintf("frontend %s has no map rule that takes %s", r.Frontend, r.Hosts())
}

// setBackend reports whether only names change, and the map has the names.
func (d Dynamic) setBackend(ch SetBackend) bool {
	return d.namesByMap() && ch.Have.WithoutExactNames() == ch.Want.WithoutExactNames()
}

// namesByMap reports whether the map has the other names of domains.
func (d Dynamic) namesByMap() bool {
	for _, byMap := range d.ByMap {
		if !byMap {
			return false
		}
	}
	return len(d.ByMap) > 0
}

// WithoutExactNames removes the names that are entries of the map if domains are routed by the map.
func (o BackendOptions) WithoutExactNames() BackendOptions {
	o.Names = Wildcards(o.Names)
	return o
}
