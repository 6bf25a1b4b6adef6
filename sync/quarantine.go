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

// maxValidations bounds the search: each try runs haproxy -c.
const maxValidations = 64

// quarantine writes what HAProxy accepts, after it refused the whole file. First it tries without the domains that HAProxy names, then it
// searches by halves among all changed domains. Of each refused domain it then writes as much as HAProxy accepts: first all but
// the removals, then host by host. If HAProxy refuses even the file as it is, no domain is at fault, and the refusal is the error: it
// is asked about that before the search.
func (d *deployment) quarantine(ctx context.Context, invalid *haproxy.InvalidConfigError) error {
	changed := d.changed()
	if len(changed) == 0 {
		return invalid
	}
	d.triesLeft = maxValidations
	d.reasons, d.instead = map[string]*haproxy.InvalidConfigError{}, map[string]haproxy.Backend{}
	named := slices.DeleteFunc(slices.Clone(invalid.Domains), func(name string) bool { return !slices.Contains(changed, name) })
	for _, name := range named {
		d.revert(name, linesAbout(invalid, name))
	}
	err := error(invalid)
	if len(named) > 0 {
		err = d.try(ctx, nil)
	}
	if _, invalid := errors.AsType[*haproxy.InvalidConfigError](err); invalid {
		clear(d.reasons)
		clear(d.instead)
		err = d.searchAll(ctx, changed)
	}
	if err != nil {
		return err
	}
	return d.narrow(ctx)
}

// maxRepairs is the most changed domains of which one may repair a file that HAProxy refuses as it is.
const maxRepairs = 8

// searchAll searches among all changed domains. The error is the refusal of the file as it is, unless some of a few changes repair that.
func (d *deployment) searchAll(ctx context.Context, changed []string) error {
	broken := d.try(ctx, changed)
	if _, invalid := errors.AsType[*haproxy.InvalidConfigError](broken); broken != nil && (!invalid || len(changed) > maxRepairs) {
		return broken
	}
	err := d.search(ctx, changed, nil)
	if err == nil && broken != nil && len(d.reasons) == len(changed) {
		clear(d.reasons)
		clear(d.instead)
		return broken
	}
	return err
}

// revert leaves a domain as the file has it.
func (d *deployment) revert(name string, invalid *haproxy.InvalidConfigError) {
	d.reasons[name] = invalid
	d.instead[name], _ = backendOf(d.have, name)
}

// linesAbout is a refusal with only those lines that quote the backend of a domain; the whole refusal if there are none.
func linesAbout(invalid *haproxy.InvalidConfigError, name string) *haproxy.InvalidConfigError {
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

// search writes as many of the domains as HAProxy accepts. Each accepted file has all domains that were accepted before; the changes
// in later are tried afterwards.
func (d *deployment) search(ctx context.Context, names, later []string) error {
	err := d.try(ctx, later)
	invalid, ok := errors.AsType[*haproxy.InvalidConfigError](err)
	switch {
	case !ok:
		return err
	case len(names) == 1:
		d.revert(names[0], invalid)
		return nil
	}
	first, second := names[:len(names)/2], names[len(names)/2:]
	if err := d.search(ctx, first, slices.Concat(second, later)); err != nil {
		return err
	}
	return d.search(ctx, second, later)
}

// try writes what is wanted, without the domains in quarantine and without later.
func (d *deployment) try(ctx context.Context, later []string) error {
	if d.triesLeft--; d.triesLeft < 0 {
		return fmt.Errorf("%d configurations were refused by haproxy -c; the search for the domains at fault ends here", maxValidations)
	}
	instead := maps.Clone(d.instead)
	for _, name := range later {
		instead[name], _ = backendOf(d.have, name)
	}
	return d.commit(ctx, d.wholeWith(instead))
}

// narrow writes as much of each domain in quarantine as HAProxy accepts. It is no error if that is nothing.
func (d *deployment) narrow(ctx context.Context) error {
	names := slices.Sorted(maps.Keys(d.reasons))
	closed, err := d.closeAll(ctx, slices.DeleteFunc(slices.Clone(names), d.isWanted))
	if err != nil {
		return err
	}
	for _, name := range names {
		have, had := backendOf(d.have, name)
		switch {
		case !had:
		case d.isWanted(name):
			err = d.narrowDomain(ctx, name, have)
		case !closed:
			err = d.closeDomain(ctx, name, have)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *deployment) narrowDomain(ctx context.Context, name string, have haproxy.Backend) error {
	want, _ := backendOf(d.want, name)
	if all, removed := withoutRemovals(have, want); len(removed) > 0 {
		ok, err := d.accepts(ctx, name, all)
		if err != nil {
			return err
		}
		if ok {
			d.held[name] = removed
			return nil
		}
	}
	return d.narrowByHost(ctx, name, have, want)
}

// accepts tries another version of a domain in quarantine, and keeps it if HAProxy accepts it.
func (d *deployment) accepts(ctx context.Context, name string, b haproxy.Backend) (bool, error) {
	if d.triesLeft == 0 {
		return false, nil
	}
	was := d.instead[name]
	d.instead[name] = b
	err := d.try(ctx, nil)
	if invalid, ok := errors.AsType[*haproxy.InvalidConfigError](err); ok {
		d.instead[name] = was
		d.reasons[name] = invalid
		return false, nil
	}
	return err == nil, err
}

// maxHosts is how many changed hosts of a domain are tried one by one; if there are more, none is.
const maxHosts = 8

// narrowByHost tries the changes of one server after the other.
func (d *deployment) narrowByHost(ctx context.Context, name string, have, want haproxy.Backend) error {
	var changes []haproxy.Server
	removed := map[string]bool{}
	merge(have.Servers, want.Servers, byServer, func(was, is *haproxy.Server) {
		switch {
		case is == nil:
			changes, removed[was.Name] = append(changes, *was), true
		case was == nil || *was != *is:
			changes = append(changes, *is)
		}
	})
	if len(changes) > maxHosts || len(changes) == 1 && have.Options == want.Options {
		return nil
	}
	for _, s := range changes {
		b := d.instead[name]
		b.Servers = slices.DeleteFunc(slices.Clone(b.Servers), func(old haproxy.Server) bool { return old.Name == s.Name })
		if !removed[s.Name] {
			b.Servers = append(b.Servers, s)
			slices.SortFunc(b.Servers, byServer)
		}
		if _, err := d.accepts(ctx, name, b); err != nil {
			return err
		}
	}
	return nil
}

// withoutRemovals is what is wanted of a backend, plus the servers that were to be removed: they stay, and take no traffic.
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

// closed is a backend that was to be removed and has to stay. No rule leads to it. Its servers take no traffic, unless servers of other
// domains track them, which would be in maintenance with them.
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

// closeDomain takes a domain that has to stay out of traffic, if HAProxy accepts that.
func (d *deployment) closeDomain(ctx context.Context, name string, have haproxy.Backend) error {
	b, servers := closed(have, d.tracked[name])
	ok, err := d.accepts(ctx, name, b)
	if ok {
		d.held[name] = servers
	}
	return err
}

// isWanted reports whether the registry still has a domain.
func (d *deployment) isWanted(name string) bool {
	want, wanted := backendOf(d.want, name)
	return wanted && !want.Closed
}

// closeAll closes domains with one try: one by one, many would need more tries than are left. ok reports whether HAProxy accepts that.
func (d *deployment) closeAll(ctx context.Context, names []string) (ok bool, err error) {
	if len(names) < 2 || d.triesLeft == 0 {
		return false, nil
	}
	was, held := maps.Clone(d.instead), map[string][]string{}
	for _, name := range names {
		if have, had := backendOf(d.have, name); had {
			d.instead[name], held[name] = closed(have, d.tracked[name])
		}
	}
	err = d.try(ctx, nil)
	if _, invalid := errors.AsType[*haproxy.InvalidConfigError](err); invalid {
		d.instead = was
		return false, nil
	}
	maps.Copy(d.held, held)
	return err == nil, err
}

// trackedIn are the domains with servers that servers of other domains track.
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
	for _, c := range Diff(d.have, d.wantWhole) {
		names = append(names, c.Domain())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
