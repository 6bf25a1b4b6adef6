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

// Before 3.4, a running HAProxy can get a new domain in a spare backend: one that the worker has loaded without servers. It gets the
// domain's servers, and an entry in the map that hapsync's last rule in each frontend reads. The record of domains says which domain it
// has. Only commands to HAProxy use its own name; hapsync calls it by the domain's backend name. The next reload loads the domain under
// its own name, and empties the spare backend.

// freeSpares are the spare backends that a worker has loaded and that seem to be free, by number.
func (h *Instance) freeSpares(f configfile.Reading, loaded configfile.Managed) (free []haproxy.Backend) {
	taken := slices.Collect(maps.Values(h.domains.spares()))
	for _, s := range loaded.Spares {
		if number, ok := haproxy.SpareNumber(s.Name); !ok || number > h.settings.Spares.Count {
			continue
		}
		used := slices.Contains(taken, s.Name) || h.busy[s.Name] || len(h.routed.keys[s.Name]) > 0 || f.Managed.NamesSpare(s.Name)
		if !used {
			free = append(free, s)
		}
	}
	slices.SortFunc(free, func(a, b haproxy.Backend) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return free
}

// countSpares is the number of free ones by their options. It is 0 if all with these options are in use.
func (h *Instance) countSpares(f configfile.Reading, loaded configfile.Managed) map[haproxy.BackendOptions]int {
	if h.settings.StaticDomains || h.settings.Spares.Count == 0 {
		return nil
	}
	count := map[haproxy.BackendOptions]int{}
	for _, s := range loaded.Spares {
		count[s.Options] = 0
	}
	for _, s := range h.freeSpares(f, loaded) {
		count[s.Options]++
	}
	return count
}

// readSpares finds out which spare backends a worker has, and which ones it uses for something else, unless that is known. The worker may
// have loaded other files than hapsync knows.
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

// findBusy records the spare backends that a worker uses for something else, or does not have.
func (h *Instance) findBusy(w runtimeapi.Worker, loaded configfile.Managed, backends []runtimeapi.Backend) {
	h.busyOf, h.busy = w, map[string]bool{}
	for _, s := range loaded.Spares {
		i, there := slices.BinarySearchFunc(backends, s.Name, compareName)
		h.busy[s.Name] = !there || !isFree(backends[i], s)
	}
	for _, b := range h.domains.added { // these are read under the domain's name
		delete(h.busy, b.spare)
	}
}

func compareName(b runtimeapi.Backend, name string) int { return cmp.Compare(b.Name, name) }

// isFree reports whether a backend of the process is a spare one as it was loaded, without servers and sessions.
func isFree(b runtimeapi.Backend, spare haproxy.Backend) bool {
	cookie, _, _ := strings.Cut(spare.Options.Cookie, " ")
	return len(b.Servers) == 0 && b.Sessions == 0 && b.Cookie == cookie && hasBalance(b, spare)
}

// hasBalance reports whether a backend of the process has the balance algorithm of the loaded one, as far as the process shows it.
func hasBalance(b runtimeapi.Backend, loaded haproxy.Backend) bool {
	algorithm, _, _ := strings.Cut(cmp.Or(loaded.Options.Balance, "roundrobin"), " ")
	return b.Balance == "unknown" || strings.HasPrefix(algorithm, b.Balance)
}

// takeSpares gives new domains spare backends, and returns why some get none. None counts as added: what it has is in the cache. have are the backends of these names in the process.
func (h *Instance) takeSpares(
	ctx context.Context, f configfile.Reading, r runtimeapi.Client, loaded configfile.Managed, d domainChanges, have []runtimeapi.Backend,
) (added map[string]bool, refused map[string]string, err error) {
	missing, refused := h.missingBackends(d, have)
	if len(missing) == 0 {
		return nil, refused, nil
	}
	free, err := h.emptySpares(ctx, f, r, loaded, missing)
	if err != nil {
		return nil, nil, err
	}
	taken := map[string]string{}
	err = h.domains.change(func() {
		inUse := slices.Collect(maps.Values(h.domains.spares())) // another hapsync may have taken some
		free = slices.DeleteFunc(free, func(s haproxy.Backend) bool { return slices.Contains(inUse, s.Name) })
		for _, name := range slices.Sorted(maps.Keys(missing)) {
			if known := h.domains.added[name]; known.options == missing[name] && known.spare != "" {
				continue // another hapsync has done it
			}
			i := slices.IndexFunc(free, func(s haproxy.Backend) bool { return s.Options == missing[name] })
			if i < 0 {
				refused[name] = "no spare backend is free"
				continue
			}
			taken[name] = free[i].Name
			h.domains.added[name] = addedBackend{options: missing[name], spare: free[i].Name}
			free = slices.Delete(free, i, i+1)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(taken)) {
		h.cache.Rename(taken[name], name)
		if !h.settings.Background {
			break // the plan says it
		}
		domain, _ := haproxy.DomainOf(name)
		h.log.Info("HAProxy's statistics and logs have the domain under the name of a spare backend, until the next reload",
			"domain", domain, "backend", taken[name])
	}
	return nil, refused, nil
}

// emptySpares are free spare backends, and the process was just seen to use them for nothing: enough for the new domains, if possible.
func (h *Instance) emptySpares(
	ctx context.Context, f configfile.Reading, r runtimeapi.Client, loaded configfile.Managed, missing map[string]haproxy.BackendOptions,
) (empty []haproxy.Backend, err error) {
	lack := map[haproxy.BackendOptions]int{}
	for _, options := range missing {
		lack[options]++
	}
	candidates := h.freeSpares(f, loaded)
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

// freed are the removed domains whose spare backends have no servers and sessions of them any more, by backend name.
func (h *Instance) freed(d domainChanges, backends []runtimeapi.Backend) map[string]bool {
	freed := map[string]bool{}
	for _, b := range backends {
		_, gone := slices.BinarySearch(d.remove, b.Name)
		ours := slices.ContainsFunc(b.Servers, func(s runtimeapi.Server) bool {
			_, recorded := h.record.servers[haproxy.ServerKey{Backend: b.Name, Name: s.Name}]
			return recorded
		})
		spare := h.domains.added[b.Name].spare
		if spare != "" && gone && !ours && b.Sessions == 0 && len(h.routed.keys[b.Name]) == 0 {
			freed[b.Name] = true
			h.busy[spare] = len(b.Servers) > 0
		}
	}
	return freed
}
