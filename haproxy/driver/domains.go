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

// From 3.4 on a domain can come to a running HAProxy: a backend from a named defaults section, and an entry in the map that the last
// rule of hapsync's in each frontend reads. The file says the same in static rules, which the next reload loads: the map file stays
// empty. A domain of the file that goes is unpublished, so that rules pass it by until that reload.

// mapEntries are those of the map of one worker.
type mapEntries struct {
	worker  runtimeapi.Worker
	entries map[string]string
}

// readMap reads the map of a worker, if it is not known or is to be read again.
func (h *Instance) readMap(ctx context.Context, f configfile.Reading, r runtimeapi.Client, w runtimeapi.Worker, again bool) error {
	loaded, err := h.loaded(f, w)
	if err != nil {
		return err
	}
	if !again && h.routed.worker.Same(w) && h.routed.entries != nil {
		return nil
	}
	h.routed = mapEntries{}
	entries := map[string]string{}
	if file, ok := configfile.MapFile(h.files.Managed); ok && len(loaded.Routes) > 0 {
		read, there, err := r.Map(ctx, file)
		if err != nil {
			return err
		}
		if there {
			entries = read
		}
	}
	h.routed = mapEntries{worker: w, entries: entries}
	return nil
}

// withAdded is what a worker has loaded, with the backends that were added to it, and the rules that stand for their entries in the map; with
// names, of these alone.
func (h *Instance) withAdded(loaded configfile.Managed, names []string) configfile.Managed {
	if len(h.domains.added) == 0 {
		return loaded
	}
	all := haproxy.Config{Backends: slices.Clone(loaded.Config.Backends), Rules: slices.Clone(loaded.Config.Rules)}
	for name, options := range h.domains.added {
		_, there := haproxy.FindBackend(loaded.Config.Backends, name)
		if _, asked := slices.BinarySearch(names, name); there || len(names) > 0 && !asked {
			continue
		}
		b := haproxy.Backend{Name: name, Options: options}
		domain, _ := haproxy.DomainOf(name)
		for frontend, anyPort := range loaded.Routes {
			if h.routed.entries[domain] != name {
				continue
			}
			all.Rules = append(all.Rules, haproxy.Rule{Frontend: frontend, Domain: domain, AnyPort: anyPort})
			if !anyPort {
				b.Exact = append(b.Exact, frontend)
			}
		}
		all.Backends = append(all.Backends, b)
	}
	slices.SortFunc(all.Backends, haproxy.CompareBackends)
	haproxy.SortRules(all.Rules)
	loaded.Config = all
	return loaded
}

// hideUnpublished takes the rules out that pass by what hapsync has unpublished.
func (h *Instance) hideUnpublished(live *haproxy.Config, backends []runtimeapi.Backend) {
	hidden := map[string]bool{}
	for _, b := range backends {
		_, added := h.domains.added[b.Name]
		hidden[b.Name] = b.Unpublished && (added || h.domains.unpublished[b.Name])
	}
	live.Rules = slices.DeleteFunc(live.Rules, func(r haproxy.Rule) bool { return hidden[r.Backend()] })
}

// dynamic says which domains can come and go without a reload.
func (h *Instance) dynamic(f configfile.Reading, loaded configfile.Managed, caps haproxy.Capabilities) haproxy.Dynamic {
	if !caps.Backends {
		return haproxy.Dynamic{}
	}
	d := haproxy.Dynamic{
		Allowed: !h.settings.StaticDomains, Routes: loaded.Routes, Named: loaded.Named, Defaults: f.DomainDefaults(),
		Added: map[string]bool{}, Unpublished: maps.Clone(h.domains.unpublished),
	}
	for name := range h.domains.added {
		d.Added[name] = true
	}
	return d
}

// domainChanges are those of backends and rules in a process.
type domainChanges struct {
	all     []haproxy.Change
	add     map[string]haproxy.BackendOptions
	names   []string // of all their backends
	route   []string // backends that rules are to lead to, unroute those that they are not to
	unroute []string
	remove  []string
}

// splitDomains tells changes of domains from those of servers.
func splitDomains(changes []haproxy.Change) (d domainChanges, servers []haproxy.Change) {
	d.add = map[string]haproxy.BackendOptions{}
	for _, c := range changes {
		name := c.Key().Backend
		switch ch := c.(type) {
		case haproxy.AddBackend:
			d.add[name] = ch.Options
		case haproxy.AddRule:
			d.route = append(d.route, name)
		case haproxy.RemoveRule:
			d.unroute = append(d.unroute, name)
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

// runDomains makes changes of domains, with those of servers in between: a domain is there as a whole before rules lead to it, and no
// rule leads to it any more before its servers go. The error is a *RunError where HAProxy took only some.
func (h *Instance) runDomains(ctx context.Context, f configfile.Reading, r runtimeapi.Client, d domainChanges, servers []haproxy.Change) error {
	w, have, err := r.Look(ctx, d.names...)
	if err != nil {
		return err
	}
	if err := errors.Join(h.domains.of(w), h.readMap(ctx, f, r, w, false)); err != nil {
		return err
	}
	refused, err := h.addBackends(ctx, f, r, d, have)
	if err != nil {
		return err
	}
	gone := slices.DeleteFunc(slices.Clone(d.remove), func(name string) bool { _, added := h.domains.added[name]; return !added })
	hidden := slices.Concat(d.unroute, gone) // also what an earlier try has left published, or in the map
	slices.Sort(hidden)
	if err := h.unroute(ctx, r, slices.Compact(hidden)); err != nil {
		return err
	}
	servers = slices.DeleteFunc(servers, func(c haproxy.Change) bool { return refused[c.Key().Backend] != "" })
	err = h.runServers(ctx, f, r, servers)
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
	if err := h.route(ctx, r, slices.DeleteFunc(d.route, func(name string) bool { return refused[name] != "" })); err != nil {
		return err
	}
	if err := r.DeleteBackends(ctx, gone); err != nil {
		return err
	}
	failures, readErr := h.readBackDomains(ctx, f, r, d, refused)
	return errors.Join(withRefusals(err, failures), readErr)
}

// addBackends adds backends, and returns HAProxy's words for those that it did not take.
func (h *Instance) addBackends(ctx context.Context, f configfile.Reading, r runtimeapi.Client, d domainChanges, have []runtimeapi.Backend) (refused map[string]string, err error) {
	from, refused := map[string]string{}, map[string]string{}
	defaults := f.DomainDefaults()
	for name, options := range d.add {
		_, there := slices.BinarySearchFunc(have, name, func(b runtimeapi.Backend, name string) int {
			return haproxy.CompareBackends(haproxy.Backend{Name: b.Name}, haproxy.Backend{Name: name})
		})
		known, added := h.domains.added[name]
		switch {
		case there && added && known == options:
		case there:
			refused[name] = "HAProxy has this backend from elsewhere, hapsync leaves it alone"
		case defaults[options] == "":
			refused[name] = "no named defaults section gives a backend what the file would"
		default:
			from[name] = defaults[options]
		}
	}
	if len(from) == 0 {
		return refused, nil
	}
	if err := h.domains.change(func() {
		for name := range from {
			h.domains.added[name] = d.add[name]
		}
	}); err != nil {
		return nil, err
	}
	words, err := r.AddBackends(ctx, from)
	maps.Copy(refused, words)
	return refused, err
}

// unroute makes rules lead to backends no more.
func (h *Instance) unroute(ctx context.Context, r runtimeapi.Client, backends []string) error {
	if len(backends) == 0 {
		return nil
	}
	var keys []string
	for _, name := range backends {
		if domain, _ := haproxy.DomainOf(name); h.routed.entries[domain] != "" {
			keys = append(keys, domain)
		}
	}
	if err := h.domains.change(func() {
		for _, name := range backends {
			if _, added := h.domains.added[name]; !added {
				h.domains.unpublished[name] = true
			}
		}
	}); err != nil {
		return err
	}
	if file, ok := configfile.MapFile(h.files.Managed); ok && len(keys) > 0 {
		if err := r.ChangeMap(ctx, file, keys, nil); err != nil {
			return err
		}
	}
	return r.Unpublish(ctx, backends)
}

// route makes rules lead to backends: those of the file have theirs, the others get an entry in the map.
func (h *Instance) route(ctx context.Context, r runtimeapi.Client, backends []string) error {
	if len(backends) == 0 {
		return nil
	}
	if err := r.Publish(ctx, backends); err != nil {
		return err
	}
	var gone []string
	entries := map[string]string{}
	for _, name := range backends {
		domain, _ := haproxy.DomainOf(name)
		if _, added := h.domains.added[name]; !added || h.routed.entries[domain] == name {
			continue
		}
		if entries[domain] = name; h.routed.entries[domain] != "" {
			gone = append(gone, domain)
		}
	}
	file, ok := configfile.MapFile(h.files.Managed)
	if !ok || len(entries) == 0 {
		return nil
	}
	return r.ChangeMap(ctx, file, gone, entries)
}

// readBackDomains reads what came of changes, brings the record in line with it, and returns what is not in effect. A backend that is
// still there has streams, and goes later.
func (h *Instance) readBackDomains(ctx context.Context, f configfile.Reading, r runtimeapi.Client, d domainChanges, refused map[string]string) ([]haproxy.Failure, error) {
	h.cache.Forget(d.all)
	w, backends, err := r.Look(ctx, d.names...)
	if err == nil && !w.Same(h.domains.worker) {
		err = errors.New("HAProxy was reloaded meanwhile: what came of the change is not known")
	}
	if err == nil {
		err = h.readMap(ctx, f, r, w, true)
	}
	if err != nil {
		return nil, err
	}
	published, there := map[string]bool{}, map[string]bool{}
	for _, b := range backends {
		there[b.Name], published[b.Name] = true, !b.Unpublished
	}
	err = h.domains.change(func() {
		for _, name := range d.names {
			if !there[name] {
				delete(h.domains.added, name)
			}
			if published[name] {
				delete(h.domains.unpublished, name)
			}
		}
	})
	var failures []haproxy.Failure
	for _, c := range d.all {
		name := c.Key().Backend
		_, added := h.domains.added[name]
		routed := published[name] && (!added || h.routed.entries[c.Domain()] == name)
		if c.Op() == haproxy.OpAdd && (!there[name] || c.Object() == haproxy.ObjectRule && !routed) ||
			c.Op() == haproxy.OpRemove && c.Object() == haproxy.ObjectRule && routed {
			failures = append(failures, haproxy.Failure{Change: c, Reply: cmp.Or(refused[name], "HAProxy took it without a word, but it is not in effect")})
		} else if words := refused[name]; words != "" {
			failures = append(failures, haproxy.Failure{Change: c, Reply: words})
		}
	}
	return failures, err
}
