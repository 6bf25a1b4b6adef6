package driver

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// Before 3.4 a domain can come to a running HAProxy in a spare backend: one that the worker has loaded, without servers. It gets those of the
// domain, and an entry in the map that the last rule of hapsync's in each frontend reads. The record of domains says whose it is, and all
// but the commands on the wire call it by the domain's name. The next reload loads the domain by its own name, and the spare one is empty.

// spares are those that a worker has loaded and that are free as far as is known, in the order of their numbers.
func (h *Instance) spares(f configfile.Reading, loaded configfile.Managed) (free []haproxy.Backend) {
	taken := slices.Collect(maps.Values(h.domains.spares()))
	for _, s := range loaded.Spares {
		number, ok := haproxy.SpareNumber(s.Name)
		if ok && number <= h.settings.Spares.Count && !slices.Contains(taken, s.Name) && !h.busy[s.Name] && len(h.routed.keys[s.Name]) == 0 && !f.Managed.NamesSpare(s.Name) {
			free = append(free, s)
		}
	}
	slices.SortFunc(free, func(a, b haproxy.Backend) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return free
}

// countSpares tells how many are free, by their options; those of which none is are there with 0.
func (h *Instance) countSpares(f configfile.Reading, loaded configfile.Managed) map[haproxy.BackendOptions]int {
	if h.settings.StaticDomains || h.settings.Spares.Count == 0 {
		return nil
	}
	count := map[haproxy.BackendOptions]int{}
	for _, s := range loaded.Spares {
		count[s.Options] = 0
	}
	for _, s := range h.spares(f, loaded) {
		count[s.Options]++
	}
	return count
}

// readSpares finds out which spare backends a worker has, and has something in, if that is not known. It may have loaded other files than
// hapsync was told.
func (h *Instance) readSpares(ctx context.Context, f configfile.Reading, r runtimeapi.Client, w runtimeapi.Worker) error {
	loaded, err := h.loaded(f, w)
	if err != nil || h.busyOf.Same(w) {
		return err
	}
	var backends []runtimeapi.Backend
	if len(loaded.Spares) > 0 {
		names := make([]string, len(loaded.Spares))
		for i, s := range loaded.Spares {
			names[i] = s.Name
		}
		if _, backends, err = r.Look(ctx, names...); err != nil {
			return err
		}
	}
	h.findBusy(w, loaded, backends)
	return nil
}

// findBusy takes note of the spare backends that a worker has something in, or does not have.
func (h *Instance) findBusy(w runtimeapi.Worker, loaded configfile.Managed, backends []runtimeapi.Backend) {
	h.busyOf, h.busy = w, map[string]bool{}
	for _, s := range loaded.Spares {
		i, there := slices.BinarySearchFunc(backends, s.Name, compareName)
		h.busy[s.Name] = !there || !isFree(backends[i], s)
	}
	for _, b := range h.domains.added { // they are read by the domain's name
		delete(h.busy, b.spare)
	}
}

func compareName(b runtimeapi.Backend, name string) int { return cmp.Compare(b.Name, name) }

// isFree reports whether a backend of the process is the spare one as it was loaded, without servers and sessions.
func isFree(b runtimeapi.Backend, spare haproxy.Backend) bool {
	algorithm, _, _ := strings.Cut(cmp.Or(spare.Options.Balance, "roundrobin"), " ")
	cookie, _, _ := strings.Cut(spare.Options.Cookie, " ")
	return len(b.Servers) == 0 && b.Sessions == 0 && b.Cookie == cookie && (b.Balance == "unknown" || strings.HasPrefix(algorithm, b.Balance))
}

// takeSpares makes spare backends those of new domains, and returns why some get none. have are the backends of these names that the process
// has.
func (h *Instance) takeSpares(ctx context.Context, f configfile.Reading, r runtimeapi.Client, loaded configfile.Managed, d domainChanges, have []runtimeapi.Backend) (refused map[string]string, err error) {
	wanting, refused := h.lacking(d, have)
	if len(wanting) == 0 {
		return refused, nil
	}
	free, err := h.emptySpares(ctx, f, r, loaded, wanting)
	if err != nil {
		return nil, err
	}
	taken := map[string]string{}
	err = h.domains.change(func() {
		inUse := slices.Collect(maps.Values(h.domains.spares())) // also by another hapsync, meanwhile
		free = slices.DeleteFunc(free, func(s haproxy.Backend) bool { return slices.Contains(inUse, s.Name) })
		for _, name := range slices.Sorted(maps.Keys(wanting)) {
			if known := h.domains.added[name]; known.options == wanting[name] && known.spare != "" {
				continue // another hapsync has done it
			}
			i := slices.IndexFunc(free, func(s haproxy.Backend) bool { return s.Options == wanting[name] })
			if i < 0 {
				refused[name] = "no spare backend is free"
				continue
			}
			taken[name] = free[i].Name
			h.domains.added[name] = addedBackend{options: wanting[name], spare: free[i].Name}
			free = slices.Delete(free, i, i+1)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(taken)) {
		h.cache.Rename(taken[name], name)
		if !h.settings.Background {
			break // the plan has said it
		}
		domain, _ := haproxy.DomainOf(name)
		h.log.Info("HAProxy's statistics and logs have the domain under the name of a spare backend, until the next reload", "domain", domain, "backend", taken[name])
	}
	return refused, nil
}

// emptySpares are free spare backends that the process is seen to have nothing in: enough for new domains, if there are.
func (h *Instance) emptySpares(ctx context.Context, f configfile.Reading, r runtimeapi.Client, loaded configfile.Managed, wanting map[string]haproxy.BackendOptions) (empty []haproxy.Backend, err error) {
	lack := map[haproxy.BackendOptions]int{}
	for _, options := range wanting {
		lack[options]++
	}
	candidates := h.spares(f, loaded)
	for len(candidates) > 0 {
		var names []string
		rest := slices.DeleteFunc(slices.Clone(candidates), func(s haproxy.Backend) bool {
			asked := lack[s.Options] > 0
			if asked {
				lack[s.Options]--
				names = append(names, s.Name)
			}
			return asked
		})
		if len(names) == 0 {
			break
		}
		h.cache.Forget(names...)
		_, backends, err := r.Look(ctx, names...)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			s, _ := haproxy.FindBackend(loaded.Spares, name)
			if i, there := slices.BinarySearchFunc(backends, name, compareName); there && isFree(backends[i], s) {
				empty = append(empty, s)
				continue
			}
			h.busy[name] = true
			lack[s.Options]++
		}
		candidates = rest
	}
	return empty, nil
}

// freed are the spare backends that have no servers and sessions of the domains any more that they were, by name.
func (h *Instance) freed(d domainChanges, backends []runtimeapi.Backend) map[string]bool {
	freed := map[string]bool{}
	for _, b := range backends {
		_, gone := slices.BinarySearch(d.remove, b.Name)
		ours := slices.ContainsFunc(b.Servers, func(s runtimeapi.Server) bool {
			_, recorded := h.record.servers[haproxy.ServerKey{Backend: b.Name, Name: s.Name}]
			return recorded
		})
		if spare := h.domains.added[b.Name].spare; spare != "" && gone && !ours && b.Sessions == 0 && len(h.routed.keys[b.Name]) == 0 {
			freed[b.Name] = true
			h.busy[spare] = len(b.Servers) > 0
		}
	}
	return freed
}
