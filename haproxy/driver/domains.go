package driver

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// From 3.4 on, a running HAProxy can get a new domain: a backend from a named defaults section, and an entry in the map that hapsync's last
// rule in each frontend reads. If the file has a use_backend rule for each domain, the next reload loads such a rule for the new one.
// A removed domain of the file is unpublished: its rules skip it until the next reload. If the file routes domains by the map, adding,
// changing or removing an entry is all that a rule or another name of a domain needs.

// hideUnpublished removes the rules of backends that hapsync has unpublished.
func (h *Instance) hideUnpublished(live *haproxy.Config, backends []runtimeapi.Backend) {
	hidden := map[string]bool{}
	for _, b := range backends {
		hidden[b.Name] = b.Unpublished && (h.domains.has(b.Name) || h.domains.unpublished[b.Name])
	}
	live.Rules = slices.DeleteFunc(live.Rules, func(r haproxy.Rule) bool { return hidden[r.Backend()] })
}

// dynamic says which domains can be added and removed without a reload.
func (h *Instance) dynamic(f configfile.Reading, loaded configfile.Managed, caps haproxy.Capabilities) haproxy.Dynamic {
	d := haproxy.Dynamic{
		Routes: loaded.Routes, ByMap: loaded.ByMap, Named: loaded.Named, Added: map[string]bool{}, InSpare: h.domains.spares(),
	}
	for name := range h.domains.added {
		d.Added[name] = true
	}
	if !caps.Backends {
		d.Spares = h.countSpares(f, loaded)
		return d
	}
	d.Allowed, d.Defaults, d.Unpublished = !h.settings.StaticDomains, f.DomainDefaults(), maps.Clone(h.domains.unpublished)
	return d
}

// domainChanges are the changes of backends and rules. names, route, unroute and remove are sorted lists of backends.
type domainChanges struct {
	all     []haproxy.Change
	add     map[string]haproxy.BackendOptions
	names   []string // all backends of the changes
	route   []string // backends that rules shall lead to
	unroute []string // backends that rules shall no longer lead to
	remove  []string
	// exact are the names that the map shall have for a backend, besides the domain itself.
	exact map[string]string
	byMap bool // the frontends route domains by the map
}

// splitDomains separates changes of domains from those of servers.
func splitDomains(changes []haproxy.Change) (d domainChanges, servers []haproxy.Change) {
	d.add, d.exact = map[string]haproxy.BackendOptions{}, map[string]string{}
	for _, c := range changes {
		name := c.Key().Backend
		switch ch := c.(type) {
		case haproxy.AddBackend:
			d.add[name], d.exact[name] = ch.Options.WithoutExactNames(), haproxy.ExactNames(ch.Options.Names)
		case haproxy.SetBackend:
			d.exact[name] = haproxy.ExactNames(ch.Want.Names)
		case haproxy.AddRule:
			d.route, d.byMap = append(d.route, name), d.byMap || ch.Rule.ByMap
		case haproxy.RemoveRule:
			d.unroute, d.byMap = append(d.unroute, name), d.byMap || ch.Rule.ByMap
		case haproxy.RemoveBackend:
			d.remove = append(d.remove, name)
		default:
			servers = append(servers, c)
			continue
		}
		d.all, d.names = append(d.all, c), append(d.names, name)
	}
	for _, list := range []*[]string{&d.names, &d.route, &d.unroute, &d.remove} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return d, servers
}

// runDomains makes changes of domains, and those of servers in between. A new domain is complete before rules lead to it. A removed one
// loses its servers only after the rules that lead to it. The error is a *RunError if HAProxy refused some of the changes.
func (h *Instance) runDomains(ctx context.Context, f configfile.Reading, r runtimeapi.Client, d domainChanges, servers []haproxy.Change) error {
	w, have, loaded, err := h.readDomains(ctx, f, r, d)
	if err != nil {
		return err
	}
	caps := haproxy.CapabilitiesOf(w.Version)
	add := h.takeSpares
	if caps.Backends {
		add = h.addBackends
	}
	added, refused, err := add(ctx, f, r, loaded, d, have)
	if refused == nil {
		refused = map[string]string{}
	}
	if err = refuseUnrecorded(refused, slices.Collect(maps.Keys(d.add)), err); err == nil {
		err = h.routeAgain(ctx, r, &d)
	}
	if err != nil {
		return err
	}
	claimed := h.domains.spares()
	maps.DeleteFunc(claimed, func(name, _ string) bool { _, found := slices.BinarySearch(d.route, name); return !found })
	servers = slices.DeleteFunc(servers, func(c haproxy.Change) bool { return refused[c.Key().Backend] != "" })
	gone, err := h.hideDomains(ctx, r, caps, loaded, d, refused)
	if err != nil {
		return err
	}
	err = h.runServers(ctx, f, r, servers, newBackends{w, added})
	var run *haproxy.RunError
	if err != nil && !errors.As(err, &run) {
		return err
	}
	if run != nil {
		for _, failure := range run.Failures { // no rule leads to a domain that lacks a server
			if failure.Change.Op() == haproxy.OpAdd {
				refused[failure.Change.Key().Backend] = failure.Reply
			}
		}
	}
	lost, lostErr := h.domains.lost(w, claimed)
	if lostErr != nil {
		return lostErr
	}
	maps.Copy(refused, lost)
	routed := slices.DeleteFunc(slices.Clone(d.route), func(name string) bool { return refused[name] != "" })
	if err := h.route(ctx, r, caps, d, routed); err != nil {
		return err
	}
	if err := endBackends(ctx, r, caps, gone); err != nil {
		return err
	}
	failures, readErr := h.readBackDomains(ctx, f, r, d, refused)
	return errors.Join(withRefusals(err, failures), readErr)
}

// hideDomains lets no rule lead to the domains that are removed, and returns their backends; none if that is refused.
func (h *Instance) hideDomains(
	ctx context.Context, r runtimeapi.Client, caps haproxy.Capabilities, loaded configfile.Managed, d domainChanges, refused map[string]string,
) (gone []string, err error) {
	gone = slices.DeleteFunc(slices.Clone(d.remove), func(name string) bool { return !h.domains.has(name) })
	hidden := slices.Concat(d.unroute, gone) // also what an earlier attempt has left published, or in the map
	slices.Sort(hidden)
	hidden = slices.Compact(hidden)
	unpublish := slices.DeleteFunc(slices.Clone(hidden), func(name string) bool {
		return !caps.Backends || h.onlyInMap(loaded, d, name)
	})
	if err = h.unroute(ctx, r, d, hidden, unpublish); err != nil {
		unchanged := slices.DeleteFunc(slices.Clone(d.names), func(name string) bool { _, added := d.add[name]; return added })
		return nil, refuseUnrecorded(refused, slices.Concat(hidden, unchanged), err)
	}
	return gone, nil
}

// readDomains is what the process has of the backends of some changes, and the file that it has loaded. It comes from the cache if State
// has just read it, unless something is removed.
func (h *Instance) readDomains(
	ctx context.Context, f configfile.Reading, r runtimeapi.Client, d domainChanges,
) (w runtimeapi.Worker, have []runtimeapi.Backend, loaded configfile.Managed, err error) {
	w, have, recent := h.cache.Recent(d.names)
	if !recent || len(d.unroute)+len(d.remove) > 0 {
		if w, have, err = r.Look(ctx, d.names...); err != nil {
			return w, nil, loaded, err
		}
	}
	// No entry may lead to a spare backend that is about to be used. So the whole map is read, unless it contains all domains.
	whole := len(d.add) > 0 && !d.byMap && !haproxy.CapabilitiesOf(w.Version).Backends
	err = errors.Join(h.domains.of(w), h.readMap(ctx, f, r, w, whole))
	if err == nil && !whole {
		err = h.readEntries(ctx, r, d)
	}
	if err == nil {
		loaded, err = h.loaded(f, w)
	}
	return w, have, loaded, err
}

// addBackends adds backends. added are those that HAProxy did not have before. refused are HAProxy's reasons, by backend.
func (h *Instance) addBackends(
	ctx context.Context, f configfile.Reading, r runtimeapi.Client, _ configfile.Managed, d domainChanges, have []runtimeapi.Backend,
) (added map[string]bool, refused map[string]string, err error) {
	missing, refused := h.missingBackends(d, have)
	from, defaults := map[string]string{}, f.DomainDefaults()
	for name, options := range missing {
		if from[name] = defaults[options]; from[name] == "" {
			delete(from, name)
			refused[name] = "no named defaults section gives a backend what the file would"
		}
	}
	if len(from) == 0 {
		return nil, refused, nil
	}
	if err := h.domains.change(func() {
		for name := range from {
			h.domains.added[name] = addedBackend{options: d.add[name]}
		}
	}); err != nil {
		return nil, nil, err
	}
	h.cache.Forget(slices.Collect(maps.Keys(from))...)
	added, words, err := r.AddBackends(ctx, from)
	maps.Copy(refused, words)
	return added, refused, err
}

// missingBackends are the new domains that the process does not have. refused are the reasons not to add others. have are the backends of these
// names in the process.
func (h *Instance) missingBackends(
	d domainChanges, have []runtimeapi.Backend,
) (missing map[string]haproxy.BackendOptions, refused map[string]string) {
	missing, refused = map[string]haproxy.BackendOptions{}, map[string]string{}
	for name, options := range d.add {
		_, there := slices.BinarySearchFunc(have, name, compareName)
		known, added := h.domains.added[name]
		switch {
		case !there:
			missing[name] = options
		case !added || known.options != options:
			refused[name] = "HAProxy has this backend from elsewhere, hapsync leaves it alone"
		}
	}
	return missing, refused
}

// endBackends deletes the backends that hapsync added. Before 3.4 they are spare ones, and it waits until they are idle.
func endBackends(ctx context.Context, r runtimeapi.Client, caps haproxy.Capabilities, backends []string) error {
	if caps.Backends {
		return r.DeleteBackends(ctx, backends)
	}
	return r.AwaitIdle(ctx, backends)
}

// unroute removes backends from the map, and unpublishes some of them, so that no rule leads to them. It also sets the names of backends
// that stay.
func (h *Instance) unroute(ctx context.Context, r runtimeapi.Client, d domainChanges, backends, unpublish []string) error {
	if err := h.domains.change(func() {
		for _, name := range unpublish {
			if !h.domains.has(name) {
				h.domains.unpublished[name] = true
			}
		}
	}); err != nil {
		return err
	}
	if err := h.changeMap(ctx, r, h.entriesWithout(d, backends)); err != nil {
		return err
	}
	return r.Unpublish(ctx, unpublish)
}

// route lets rules lead to backends. It publishes those that have rules in the file, and adds entries to the map for the others.
func (h *Instance) route(ctx context.Context, r runtimeapi.Client, caps haproxy.Capabilities, d domainChanges, backends []string) error {
	c := h.entriesWith(d, backends)
	if caps.Backends {
		c.Publish = backends
	}
	return h.changeMap(ctx, r, c)
}

// readBackDomains reads the result of changes, updates the record, and returns what is not in effect. A backend that still exists has
// streams, and is removed later.
func (h *Instance) readBackDomains(
	ctx context.Context, f configfile.Reading, r runtimeapi.Client, d domainChanges, refused map[string]string,
) ([]haproxy.Failure, error) {
	h.cache.Forget(d.names...)
	w, backends, err := r.Look(ctx, d.names...)
	if err == nil && !w.Same(h.domains.worker) {
		err = errors.New("HAProxy was reloaded meanwhile: what came of the change is not known")
	}
	if err == nil {
		err = errors.Join(h.readMap(ctx, f, r, w, false), h.readEntries(ctx, r, d))
	}
	if err != nil {
		return nil, err
	}
	published, there, freed := map[string]bool{}, map[string]bool{}, h.freed(d, backends)
	for _, b := range backends {
		there[b.Name], published[b.Name] = true, !b.Unpublished
	}
	failures := h.notInEffect(d, there, published, refused) // before the record forgets which backends are spare ones
	err = h.domains.change(func() {
		for _, name := range d.names {
			if !there[name] || freed[name] {
				delete(h.domains.added, name)
			}
			if published[name] {
				delete(h.domains.unpublished, name)
			}
		}
	})
	if len(freed) > 0 {
		h.cache.Forget(d.names...) // a freed spare backend has its own name again
	}
	return failures, err
}

// notInEffect are the changes of domains that the process does not have as wanted, or that were refused.
func (h *Instance) notInEffect(d domainChanges, there, published map[string]bool, refused map[string]string) (failures []haproxy.Failure) {
	for _, c := range d.all {
		name, isRule := c.Key().Backend, c.Object() == haproxy.ObjectRule
		routed := published[name] && (!h.routesByMap(c) || h.routed.entries[c.Domain()] == name)
		var failed bool
		switch c.Op() {
		case haproxy.OpAdd:
			failed = !there[name] || isRule && !routed
		case haproxy.OpRemove:
			failed = isRule && routed
		case haproxy.OpSet:
			failed = h.routed.names(name) != d.exact[name]
		}
		reply := refused[name]
		if failed {
			reply = cmp.Or(reply, "HAProxy took it without a word, but it is not in effect")
		}
		if reply != "" {
			failures = append(failures, haproxy.Failure{Change: c, Reply: reply})
		}
	}
	return failures
}
