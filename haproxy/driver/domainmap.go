package driver

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// mapEntries are the entries of a worker's map: the backend by name, and the set of names by backend.
type mapEntries struct {
	worker  runtimeapi.Worker
	entries map[string]string
	keys    map[string]map[string]bool
}

func newMapEntries(w runtimeapi.Worker, entries map[string]string) mapEntries {
	m := mapEntries{worker: w, entries: map[string]string{}, keys: map[string]map[string]bool{}}
	for key, backend := range entries {
		m.set(key, backend)
	}
	return m
}

// set sets an entry, or deletes it if backend is empty.
func (m *mapEntries) set(key, backend string) {
	delete(m.keys[m.entries[key]], key)
	if backend == "" {
		delete(m.entries, key)
		return
	}
	m.entries[key] = backend
	if m.keys[backend] == nil {
		m.keys[backend] = map[string]bool{}
	}
	m.keys[backend][key] = true
}

// names are the names that lead to a backend, except the domain itself, in the form of haproxy.BackendOptions.
func (m *mapEntries) names(backend string) string {
	domain, _ := haproxy.DomainOf(backend)
	names := slices.Sorted(maps.Keys(m.keys[backend]))
	return strings.Join(slices.DeleteFunc(names, func(name string) bool { return name == domain }), " ")
}

// readMap reads the map of a worker, if it is not known or again is set.
func (h *Instance) readMap(ctx context.Context, f configfile.Reading, r runtimeapi.Client, w runtimeapi.Worker, again bool) error {
	loaded, err := h.loaded(f, w)
	if err != nil {
		return err
	}
	if !again && h.routed.worker.Same(w) && h.routed.entries != nil {
		return nil
	}
	h.routed = mapEntries{}
	entries, err := h.entriesOf(ctx, r, loaded)
	if err == nil {
		h.routed = newMapEntries(w, entries)
	}
	return err
}

// entriesOf reads the map; nil if nothing that is loaded reads it. Any goroutine may call it.
func (h *Instance) entriesOf(ctx context.Context, r runtimeapi.Client, loaded configfile.Managed) (entries map[string]string, err error) {
	if file, ok := configfile.MapFile(h.files.Managed); ok && len(loaded.Routes) > 0 {
		entries, _, err = r.Map(ctx, file)
	}
	return entries, err
}

// readEntries reads the entries that some changes concern.
func (h *Instance) readEntries(ctx context.Context, r runtimeapi.Client, d domainChanges) error {
	file, ok := configfile.MapFile(h.files.Managed)
	keys := d.keys()
	for _, name := range d.names {
		keys = slices.AppendSeq(keys, maps.Keys(h.routed.keys[name]))
	}
	if !ok || len(keys) == 0 {
		return nil
	}
	entries, err := r.MapEntries(ctx, file, keys)
	if err != nil {
		h.routed = mapEntries{} // unknown: readMap reads it again
		return err
	}
	for _, key := range keys {
		h.routed.set(key, entries[key])
	}
	return nil
}

// withMap adds to what a worker has loaded the added backends, and the rules and names that are entries of its map. With names, it
// adds only those backends.
func (h *Instance) withMap(loaded configfile.Managed, names []string) configfile.Managed {
	byMap := slices.Contains(slices.Collect(maps.Values(loaded.ByMap)), true)
	if len(h.domains.added) == 0 && !byMap {
		return loaded
	}
	all := haproxy.Config{Backends: slices.Clone(loaded.Config.Backends), Rules: slices.Clone(loaded.Config.Rules)}
	all.Rules = slices.DeleteFunc(all.Rules, func(r haproxy.Rule) bool {
		return r.ByMap && !r.Closed && h.routed.entries[r.Domain] != r.Backend()
	})
	for i, b := range all.Backends {
		if len(b.ByMap) > 0 {
			all.Backends[i].Options = h.withNames(b)
		}
	}
	for name, own := range h.domains.added {
		_, there := haproxy.FindBackend(loaded.Config.Backends, name)
		if _, asked := slices.BinarySearch(names, name); there || len(names) > 0 && !asked {
			continue
		}
		b := haproxy.Backend{Name: name, Options: own.options}
		if byMap {
			b.Options = h.withNames(b)
		}
		domain, _ := haproxy.DomainOf(name)
		for frontend, anyPort := range loaded.Routes {
			if h.routed.entries[domain] != name {
				continue
			}
			all.Rules = append(all.Rules, haproxy.Rule{Frontend: frontend, Domain: domain, AnyPort: anyPort, ByMap: loaded.ByMap[frontend]})
			if !anyPort {
				b.Exact = append(b.Exact, frontend)
			}
			if loaded.ByMap[frontend] {
				b.ByMap = append(b.ByMap, frontend)
			}
		}
		all.Backends = append(all.Backends, b)
	}
	slices.SortFunc(all.Backends, haproxy.CompareBackends)
	haproxy.SortRules(all.Rules)
	loaded.Config = all
	return loaded
}

// withNames are the options of a backend with its names from the map.
func (h *Instance) withNames(b haproxy.Backend) haproxy.BackendOptions {
	names := strings.Fields(haproxy.Wildcards(b.Options.Names) + " " + h.routed.names(b.Name))
	slices.Sort(names)
	b.Options.Names = strings.Join(names, " ")
	return b.Options
}

// dangling are the rules for entries of the map that look like hapsync's, but lead to backends that the process does not have.
func (h *Instance) dangling(loaded configfile.Managed, backends []runtimeapi.Backend) (rules []haproxy.Rule) {
	there := map[string]bool{}
	for _, b := range backends {
		there[b.Name] = true
	}
	for backend, keys := range h.routed.keys {
		domain, ok := haproxy.DomainOf(backend)
		if !ok || there[backend] || len(keys) == 0 || !haproxy.PlainName(backend) {
			continue
		}
		for frontend, byMap := range loaded.ByMap {
			if byMap {
				rules = append(rules, haproxy.Rule{Frontend: frontend, Domain: domain, AnyPort: loaded.Routes[frontend], ByMap: true})
			}
		}
	}
	return rules
}

// routeAgain reads the entries of new domains again. An entry may name a backend that is now in a spare one. The process has no backend of
// that name, so rules must lead to the spare one.
func (h *Instance) routeAgain(ctx context.Context, r runtimeapi.Client, d *domainChanges) error {
	known := false
	for name := range d.add {
		domain, _ := haproxy.DomainOf(name)
		known = known || len(h.routed.keys[name]) > 0
		if h.routed.entries[domain] == name && !slices.Contains(d.route, name) {
			d.route = append(d.route, name)
		}
	}
	slices.Sort(d.route)
	if !known {
		return nil
	}
	return h.readEntries(ctx, r, *d)
}

// onlyInMap reports whether only the map leads to a backend of the file.
func (h *Instance) onlyInMap(loaded configfile.Managed, d domainChanges, name string) bool {
	b, _ := haproxy.FindBackend(loaded.Config.Backends, name)
	return d.byMap && !h.domains.has(name) && haproxy.Wildcards(b.Options.Names) == ""
}

// routesByMap reports whether a change of a rule changes an entry of the map.
func (h *Instance) routesByMap(c haproxy.Change) bool {
	added := h.domains.has(c.Key().Backend)
	switch ch := c.(type) {
	case haproxy.AddRule:
		return added || ch.Rule.ByMap
	case haproxy.RemoveRule:
		return added || ch.Rule.ByMap
	}
	return added
}

// keys are the entries of the map that changes may add, change or remove, sorted.
func (d domainChanges) keys() (keys []string) {
	for _, name := range d.names {
		domain, _ := haproxy.DomainOf(name)
		keys = append(keys, domain)
		keys = slices.AppendSeq(keys, strings.FieldsSeq(d.exact[name]))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// wanted are the entries of the map for some backends.
func (d domainChanges) wanted(backends []string) map[string]string {
	wanted := map[string]string{}
	for _, name := range backends {
		for key := range strings.FieldsSeq(d.exact[name]) {
			wanted[key] = name
		}
	}
	for _, name := range d.route {
		if slices.Contains(backends, name) {
			domain, _ := haproxy.DomainOf(name)
			wanted[domain] = name
		}
	}
	return wanted
}

// entriesWithout removes the entries of some backends, and sets the names of those that stay. The entry of a name that another backend is
// to get stays until then.
func (h *Instance) entriesWithout(d domainChanges, backends []string) runtimeapi.MapChange {
	var stay []string
	for name := range d.exact {
		if !slices.Contains(d.route, name) {
			stay = append(stay, name)
		}
	}
	c := runtimeapi.MapChange{Set: d.wanted(stay)}
	later := d.wanted(d.route)
	for _, name := range slices.Concat(backends, stay) {
		for key := range h.routed.keys[name] {
			domain, _ := haproxy.DomainOf(name)
			loses := slices.Contains(backends, name) || key != domain
			if loses && c.Set[key] == "" && later[key] == "" {
				c.Gone = append(c.Gone, key)
			}
		}
	}
	return c
}

// entriesWith adds the entries of some backends.
func (h *Instance) entriesWith(d domainChanges, backends []string) runtimeapi.MapChange {
	backends = slices.DeleteFunc(slices.Clone(backends), func(name string) bool { return !d.byMap && !h.domains.has(name) })
	return runtimeapi.MapChange{Set: d.wanted(backends)}
}

// changeMap publishes backends, and changes the map if the change makes a difference.
func (h *Instance) changeMap(ctx context.Context, r runtimeapi.Client, c runtimeapi.MapChange) error {
	maps.DeleteFunc(c.Set, func(key, backend string) bool { return h.routed.entries[key] == backend })
	file, ok := configfile.MapFile(h.files.Managed)
	if !ok || len(c.Gone)+len(c.Set) == 0 {
		return r.Publish(ctx, c.Publish)
	}
	c.File, c.Have = file, h.routed.entries
	if err := r.ChangeMap(ctx, c); err != nil {
		return err
	}
	for _, key := range c.Gone {
		h.routed.set(key, "")
	}
	for key, backend := range c.Set {
		h.routed.set(key, backend)
	}
	return nil
}
