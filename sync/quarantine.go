package sync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// maxValidations bounds the search: each costs a haproxy -c.
const maxValidations = 64

// quarantine writes what HAProxy accepts where it refused the whole: without the domains that it names, else it searches by
// halves among all that change. Of each domain at fault as much is then written as is accepted: first all but what is removed,
// then host by host. Where not even the file as it stands is accepted, no domain is at fault, and the refusal is the error.
func (d *deployment) quarantine(ctx context.Context, invalid *haproxy.InvalidConfigError) error {
	changed := d.changed()
	if len(changed) == 0 {
		return invalid
	}
	d.left = maxValidations
	d.reasons, d.instead = map[string]*haproxy.InvalidConfigError{}, map[string]haproxy.Backend{}
	named := intersect(invalid.Domains, changed)
	for _, name := range named {
		d.asItWas(name, about(invalid, name))
	}
	err := error(invalid)
	if len(named) > 0 {
		err = d.try(ctx, nil)
	}
	if errors.As(err, &invalid) {
		clear(d.reasons)
		clear(d.instead)
		if err = d.search(ctx, changed, nil); err == nil && len(d.reasons) == len(changed) {
			err = d.try(ctx, nil)
		}
	}
	if err != nil {
		return err
	}
	return d.narrow(ctx)
}

// asItWas leaves a domain as the file had it.
func (d *deployment) asItWas(name string, invalid *haproxy.InvalidConfigError) {
	d.reasons[name] = invalid
	d.instead[name], _ = backendOf(d.have, name)
}

// about is a refusal with those of its lines alone that quote a domain's backend; all of it if none does.
func about(invalid *haproxy.InvalidConfigError, name string) *haproxy.InvalidConfigError {
	var lines []string
	for l := range strings.Lines(invalid.Output) {
		if strings.Contains(l, "'"+haproxy.BackendName(name)+"'") {
			lines = append(lines, strings.TrimRight(l, "\n"))
		}
	}
	if len(lines) == 0 {
		return invalid
	}
	return &haproxy.InvalidConfigError{Output: strings.Join(lines, "\n"), Domains: []string{name}}
}

// search applies as many of the domains as HAProxy accepts; later are those whose turn comes then. Every try that is
// accepted holds all that were accepted before.
func (d *deployment) search(ctx context.Context, names, later []string) error {
	err := d.try(ctx, later)
	var invalid *haproxy.InvalidConfigError
	switch {
	case !errors.As(err, &invalid):
		return err
	case len(names) == 1:
		d.asItWas(names[0], invalid)
		return nil
	}
	first, second := names[:len(names)/2], names[len(names)/2:]
	if err := d.search(ctx, first, slices.Concat(second, later)); err != nil {
		return err
	}
	return d.search(ctx, second, later)
}

// try writes what is wanted, but for the domains in quarantine and those whose turn comes later.
func (d *deployment) try(ctx context.Context, later []string) error {
	if d.left--; d.left < 0 {
		return fmt.Errorf("%d configurations were refused by haproxy -c; the search for the domains at fault ends here", maxValidations)
	}
	instead := maps.Clone(d.instead)
	for _, name := range later {
		instead[name], _ = backendOf(d.have, name)
	}
	return d.commit(ctx, d.wholeWith(instead))
}

// narrow writes of each domain in quarantine as much as HAProxy accepts. That it accepts no more is no error.
func (d *deployment) narrow(ctx context.Context) error {
	names := slices.Sorted(maps.Keys(d.reasons))
	together, err := d.shutAll(ctx, slices.DeleteFunc(slices.Clone(names), d.stays))
	if err != nil {
		return err
	}
	for _, name := range names {
		want, _ := backendOf(d.want, name)
		have, had := backendOf(d.have, name)
		if !had || together && !d.stays(name) {
			continue
		}
		if !d.stays(name) {
			if err := d.shut(ctx, name, have); err != nil {
				return err
			}
			continue
		}
		if all, removed := withoutRemovals(have, want); len(removed) > 0 {
			ok, err := d.accepts(ctx, name, all)
			if err != nil {
				return err
			}
			if ok {
				d.held[name] = removed
				continue
			}
		}
		if err := d.byHost(ctx, name, have, want); err != nil {
			return err
		}
	}
	return nil
}

// accepts tries another version of a domain in quarantine.
func (d *deployment) accepts(ctx context.Context, name string, b haproxy.Backend) (bool, error) {
	if d.left == 0 {
		return false, nil
	}
	was := d.instead[name]
	d.instead[name] = b
	err := d.try(ctx, nil)
	var invalid *haproxy.InvalidConfigError
	if errors.As(err, &invalid) {
		d.instead[name] = was
		d.reasons[name] = invalid
		return false, nil
	}
	return err == nil, err
}

// maxHosts is the number of changed hosts of a domain up to which they are tried one by one.
const maxHosts = 8

// byHost adds the changes of one server after the other to a domain as it was.
func (d *deployment) byHost(ctx context.Context, name string, have, want haproxy.Backend) error {
	var changes []func(haproxy.Backend) haproxy.Backend
	merge(have.Servers, want.Servers, byServer, func(was, is *haproxy.Server) {
		switch {
		case is == nil:
			changes = append(changes, func(b haproxy.Backend) haproxy.Backend { return withServer(b, *was, nil) })
		case was == nil || *was != *is:
			changes = append(changes, func(b haproxy.Backend) haproxy.Backend { return withServer(b, *is, is) })
		}
	})
	if len(changes) > maxHosts || len(changes) == 1 && have.Options == want.Options {
		return nil
	}
	for _, change := range changes {
		if _, err := d.accepts(ctx, name, change(d.instead[name])); err != nil {
			return err
		}
	}
	return nil
}

// withServer is a backend with a server in the place of the one of its name; nil takes that out.
func withServer(b haproxy.Backend, name haproxy.Server, server *haproxy.Server) haproxy.Backend {
	b.Servers = slices.DeleteFunc(slices.Clone(b.Servers), func(s haproxy.Server) bool { return s.Name == name.Name })
	if server != nil {
		b.Servers = append(b.Servers, *server)
		slices.SortFunc(b.Servers, byServer)
	}
	return b
}

// withoutRemovals is what is wanted of a backend, with the servers that were to go: they stay, but take no traffic.
func withoutRemovals(have, want haproxy.Backend) (b haproxy.Backend, removed []string) {
	b = want
	b.Servers = slices.Clone(want.Servers)
	for _, s := range have.Servers {
		if _, stays := haproxy.FindServer(want, s.Name); stays {
			continue
		}
		s.State = haproxy.Maint
		b.Servers = append(b.Servers, s)
		removed = append(removed, s.Name)
	}
	slices.SortFunc(b.Servers, byServer)
	return b, removed
}

// closed is a backend that is to go and has to stay: no rule leads to it, and its servers take no traffic from elsewhere, unless those of
// other domains track them, which would be in maintenance with them.
func closed(have haproxy.Backend, tracked bool) (b haproxy.Backend, servers []string) {
	empty := have
	empty.Servers = nil
	b, servers = withoutRemovals(have, empty)
	if tracked {
		b.Servers = have.Servers
	}
	b.Closed, b.Options.Names = true, ""
	return b, servers
}

// shut takes a domain out of traffic that is to go and has to stay, as far as HAProxy accepts that.
func (d *deployment) shut(ctx context.Context, name string, have haproxy.Backend) error {
	b, servers := closed(have, d.tracked[name])
	ok, err := d.accepts(ctx, name, b)
	if ok {
		d.held[name] = servers
	}
	return err
}

// stays reports whether a domain is wanted.
func (d *deployment) stays(name string) bool {
	want, wanted := backendOf(d.want, name)
	return wanted && !want.Closed
}

// shutAll shuts domains at once: one by one, many would take more tries than there are. It reports whether HAProxy accepts that.
func (d *deployment) shutAll(ctx context.Context, names []string) (ok bool, err error) {
	if len(names) < 2 || d.left == 0 {
		return false, nil
	}
	was, held := maps.Clone(d.instead), map[string][]string{}
	for _, name := range names {
		if have, had := backendOf(d.have, name); had {
			d.instead[name], held[name] = closed(have, d.tracked[name])
		}
	}
	err = d.try(ctx, nil)
	var invalid *haproxy.InvalidConfigError
	if errors.As(err, &invalid) {
		d.instead = was
		return false, nil
	}
	maps.Copy(d.held, held)
	return err == nil, err
}

// trackedIn are the domains with servers that those of other domains track.
func trackedIn(needed map[haproxy.ServerKey][]haproxy.Need) map[string]bool {
	tracked := map[string]bool{}
	for key, needs := range needed {
		if slices.ContainsFunc(needs, func(n haproxy.Need) bool { return n.Tracks && n.Of.Backend != key.Backend }) {
			tracked[key.Domain()] = true
		}
	}
	return tracked
}

// changed are the domains that the job would change in the file, sorted.
func (d *deployment) changed() []string {
	var names []string
	for _, c := range Diff(d.have, d.whole) {
		names = append(names, c.Domain())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func intersect(a, b []string) []string {
	var both []string
	for _, s := range a {
		if slices.Contains(b, s) {
			both = append(both, s)
		}
	}
	return both
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
