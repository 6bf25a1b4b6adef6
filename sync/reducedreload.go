package sync

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// maxLoads bounds the search for a file that HAProxy loads: each try is a reload.
const maxLoads = 12

// reloadReduced reloads HAProxy with fewer new servers, after it refused to load the file: haproxy -c checks neither descriptors nor
// memory, and what needs more of them are servers that are new since the last load. It leaves out the new servers of as few domains as
// possible, of those with the most first. loaded reports whether HAProxy has loaded that. If it refuses the file without any new
// servers, too, they are not the reason.
func (d *deployment) reloadReduced(ctx context.Context) (loaded bool, err error) {
	had, err := d.target.Loaded()
	if err != nil {
		return false, err
	}
	whole, instead := d.wholeWith(d.instead), d.instead
	names := grownDomains(had, whole)
	less := func(name string) haproxy.Backend { return withoutNewServers(whole, had, name) }
	fits, tooMany := -1, len(names) // HAProxy loads the first fits domains with their new servers
	for step, tries := 1, maxLoads; tooMany-fits > 1 && tries > 0; tries-- {
		n := (fits + tooMany) / 2
		if fits < 0 {
			n, step = max(0, tooMany-step), 2*step
		}
		best, bestLess := d.instead, d.reduced
		d.reduce(names[n:], instead, less)
		if loaded, err = d.tryReload(ctx); err != nil {
			return false, err
		}
		if loaded {
			fits = n
		} else {
			tooMany, d.instead, d.reduced = n, best, bestLess
		}
	}
	if fits < 0 || loaded {
		return loaded, nil
	}
	return true, d.recommit(ctx, d.wholeWith(d.instead)) // back to the last file that HAProxy has loaded
}

// tryReload writes the file with the domains as they are, and reloads. It reports false if nothing is left to reload for.
func (d *deployment) tryReload(ctx context.Context) (bool, error) {
	if !d.needsReload() {
		return false, nil
	}
	err := d.recommit(ctx, d.wholeWith(d.instead))
	if err == nil {
		err = d.target.Reload(ctx)
	}
	if _, refused := errors.AsType[*haproxy.ReloadError](err); refused {
		return false, nil
	}
	return err == nil, err
}

// grownDomains are the domains with more servers, or more checks, than HAProxy has loaded; those with most new ones are last.
func grownDomains(had, whole haproxy.Config) []string {
	var names []string
	more := map[string]amount{}
	for _, is := range whole.Backends {
		was, _ := haproxy.FindBackend(had.Backends, is.Name)
		if m := amountOf(is).minus(amountOf(was)); m.servers > 0 || m.descriptors > 0 {
			name, _ := haproxy.DomainOf(is.Name)
			names, more[name] = append(names, name), m
		}
	}
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(more[a].descriptors, more[b].descriptors), cmp.Compare(more[a].servers, more[b].servers))
	})
	return names
}

// withoutNewServers is a domain as it should be, but only with the servers that HAProxy has loaded, and their checks as they were.
// It is the zero Backend if HAProxy has loaded none.
func withoutNewServers(whole, had haproxy.Config, name string) haproxy.Backend {
	was, there := backendOf(had, name)
	if !there {
		return haproxy.Backend{}
	}
	less, _ := backendOf(whole, name)
	servers := less.Servers
	less.Servers = nil
	for _, s := range servers {
		if old, there := haproxy.FindServer(was, s.Name); there {
			s.Check = old.Check
			less.Servers = append(less.Servers, s)
		}
	}
	return less
}
