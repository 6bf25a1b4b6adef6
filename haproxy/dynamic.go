package haproxy

import "fmt"

// Dynamic says what a running process can take, or give up, of domains without a reload. The zero Dynamic: nothing.
type Dynamic struct {
	// Allowed is set where the process has the commands for backends (HAProxy 3.4 and later), and the settings do not rule them out.
	Allowed bool
	// Defaults are the named defaults sections that give a new backend all that its lines in the file would give it, by its options.
	Defaults map[BackendOptions]string
	// Spares tells how many spare backends are free, by their options (before 3.4). Options of which all are in use are there with 0.
	Spares map[BackendOptions]int
	// Routes are the frontends in which a new domain's entry in the map does what its rule would do, with whether they take a
	// Host with any port.
	Routes map[string]bool
	// ByMap says of each frontend whether the process has its domains by the map: names then come and go without a reload.
	ByMap map[string]bool
	// Named are the further names of the domains that the process has loaded: their lines stand above the map's rule.
	Named map[string]bool
	// Added are the backends that hapsync has added to the process, Unpublished those of the file that it has unpublished.
	Added, Unpublished map[string]bool
	// InSpare are the spare backends that those of Added are, if they are such, by name.
	InSpare map[string]string
}

// Live reports whether a change of a backend or a rule can be made in the process; if not, why says what stands in the way.
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

// Fresh are the options that a new backend has to have from the start: the map gives it the rest.
func (d Dynamic) Fresh(o BackendOptions) BackendOptions {
	if d.namesByMap() {
		return o.WithoutExactNames()
	}
	return o
}

func (d Dynamic) addRule(r Rule) (ok bool, why string) {
	anyPort, there := d.Routes[r.Frontend]
	switch {
	case !r.ByMap && !d.Allowed && len(d.Spares) == 0 && d.InSpare[r.Backend()] == "" || r.ByMap != d.ByMap[r.Frontend]:
		return false, ""
	case d.Named[r.Domain]:
		return false, "HAProxy has " + r.Domain + " as a further name of another domain"
	}
	return d.Unpublished[r.Backend()] || there && anyPort == r.AnyPort,
		fmt.Sprintf("frontend %s has no map rule that takes %s", r.Frontend, r.Hosts())
}

// setBackend reports whether a change of a backend is one of names that the map has.
func (d Dynamic) setBackend(ch SetBackend) bool {
	return d.namesByMap() && ch.Have.WithoutExactNames() == ch.Want.WithoutExactNames()
}

// namesByMap reports whether the map has the further names of domains.
func (d Dynamic) namesByMap() bool {
	for _, byMap := range d.ByMap {
		if !byMap {
			return false
		}
	}
	return len(d.ByMap) > 0
}

// WithoutExactNames is the options without those names that the map has where domains are there by the map.
func (o BackendOptions) WithoutExactNames() BackendOptions {
	o.Names = Wildcards(o.Names)
	return o
}
