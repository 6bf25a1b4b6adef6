package sync

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// maxLoads bounds the search: each try is a reload.
const maxLoads = 12

// loadLess reloads HAProxy, which has refused to load the file, with less in it: haproxy -c sees neither descriptors nor memory, and
// what needs more of these are servers that came since HAProxy loaded the file last. It leaves out the new ones of as few domains as
// it can, those with the most first, and reports whether HAProxy has loaded that. Where it refuses the file without any of them,
// too, they are not the reason.
func (d *deployment) reloadReduced(ctx context.Context) (loaded bool, err error) {
	had, err := d.target.Loaded()
	if err != nil {
		return false, err
	}
	whole, instead := d.wholeWith(d.instead), d.instead
	names := grownDomains(had, whole)
	less := func(name string) haproxy.Backend { return withoutNewServers(whole, had, name) }
	fits, tooMany := -1, len(names) // HAProxy loads so many of them
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
	return true, d.recommit(ctx, d.wholeWith(d.instead)) // the last try was refused, the process has this one
}

// loads tries to reload with the domains as they are. It is not tried where nothing is left to reload for.
func (d *deployment) tryReload(ctx context.Context) (bool, error) {
	if !d.needsReload() {
		return false, nil
	}
	err := d.recommit(ctx, d.wholeWith(d.instead))
	if err == nil {
		err = d.target.Reload(ctx)
	}
	var refused *haproxy.ReloadError
	if errors.As(err, &refused) {
		return false, nil
	}
	return err == nil, err
}

// grown are the domains with more servers, or more checks, than HAProxy had loaded. Those with the most new ones are last.
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

// fewer is a domain as it is to be, with only the servers that HAProxy had loaded, and their checks as they were; the zero Backend
// where it had none.
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
