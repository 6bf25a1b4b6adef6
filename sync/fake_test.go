package sync

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A fake is a HAProxy of values: a file, a process that has loaded some file, and what either refuses.
type fake struct {
	file, live haproxy.Config
	loaded     *haproxy.Config // at the last reload
	warnings   []string
	edited     func(*haproxy.Config) // what an operator does to the file just after the next reload
	caps       haproxy.Capabilities
	down, deaf bool
	noEdit     string
	noWrite    error
	missing    bool
	foreign    map[string]string
	binds      haproxy.Binds
	// refuses is haproxy -c: it names the domains at fault, or "" where it cannot; nil is yes.
	refuses func(haproxy.Config) []string
	// stubborn reports whether the process refuses a change.
	stubborn func(haproxy.Change) bool
	// So many calls of each kind fail.
	failCommit, failReload, conflicts int
	noReload                          error // there is no way to reload

	// unloadable reports whether a reload with a file is refused.
	unloadable func(haproxy.Config) bool
	// unlisted is set where the process was started without the managed file: a reload does not load it.
	unlisted bool
	// grows is set where the process takes new backends, and added are those that it has taken since the last reload.
	grows bool
	added map[string]bool
	// lingers reports whether a removed server stays for now, as one with sessions does.
	lingers func(haproxy.RemoveServer) bool

	edits, rewrites, reloads, commands, reads, wholeReads, looks, backgroundLooks int
	version                                                                       int
	kept                                                                          []byte
	keeps                                                                         int
	recollection                                                                  recollection
}

func (m *fake) Identity(context.Context) (haproxy.Identity, error) {
	m.looks++
	return m.state("hapsync.invalid").Identity(), nil
}

func (m *fake) State(_ context.Context, scope haproxy.Scope) (haproxy.State, error) {
	m.reads++
	if scope.All() {
		m.wholeReads++
	}
	st := m.stateOf(scope)
	m.recollection.version = m.version
	m.remember(st, scope.Names()...)
	return st, nil
}

// Read implements File.
func (m *fake) Read() (haproxy.Config, haproxy.Digest, error) { return clone(m.file), m.digest(), nil }

// stateOf is the state of a scope.
func (m *fake) stateOf(scope haproxy.Scope) haproxy.State {
	if scope.Empty() {
		return m.state("hapsync.invalid")
	}
	return m.state(scope.Names()...)
}

func (m *fake) Cached(scope haproxy.Scope) (haproxy.State, bool) {
	if scope.All() || scope.Empty() {
		return haproxy.State{}, false
	}
	domains := scope.Names()
	st := m.state(domains...)
	if m.version != m.recollection.version {
		return haproxy.State{}, false
	}
	st.Worker, st.Live.Backends = m.recollection.worker, nil
	for _, name := range slices.Sorted(slices.Values(domains)) {
		b, known := m.recollection.backends[haproxy.BackendName(name)]
		if !known {
			return haproxy.State{}, false
		}
		st.Live.Backends = append(st.Live.Backends, clone(haproxy.Config{Backends: []haproxy.Backend{b}}).Backends[0])
	}
	return st, true
}

func (m *fake) state(domains ...string) haproxy.State {
	st := haproxy.State{
		File: clone(m.file), Digest: m.digest(), Capabilities: m.caps,
		NoEdit: m.noEdit, NoWrite: m.noWrite, Missing: m.missing, Foreign: m.foreign, Binds: m.binds,
	}
	if len(domains) == 0 { // else no one looks
		st.Warnings = m.warnings
	}
	for _, b := range m.file.Backends {
		for _, name := range strings.Fields(b.Options.Names) {
			if haproxy.IsWildcard(name) {
				st.Wildcards = append(st.Wildcards, name)
			}
		}
	}
	if m.down || m.deaf {
		st.Down, st.Deaf = haproxy.ErrDown, m.deaf
		return st
	}
	st.Live.Backends = slices.Clone(m.live.Backends)
	st.Live.Rules = slices.Clone(m.live.Rules)
	st.Dynamic = m.dynamic()
	st.Live = clone(st.Live)
	st.Worker = fmt.Sprintf("%d reloads", m.reloads)
	if len(domains) > 0 {
		st.File, st.Live = part(st.File, domains), part(st.Live, domains)
	}
	return st
}

// differs are the differences from what is asked for, in the process and in the file. Rules that lead nowhere, and backends without
// servers, stay in the process until a reload.
func (m *fake) differs(want haproxy.Config) []haproxy.Change {
	live := haproxy.Config{Backends: slices.DeleteFunc(m.state().Live.Backends, func(b haproxy.Backend) bool {
		_, asked := haproxy.FindBackend(want.Backends, b.Name)
		return !asked && len(b.Servers) == 0
	})}
	return slices.Concat(Diff(live, haproxy.Config{Backends: want.Backends}), Diff(m.file, want))
}

// dynamic is what the process can take by its map, where it has its domains by that.
func (m *fake) dynamic() haproxy.Dynamic {
	d := haproxy.Dynamic{Routes: map[string]bool{}, ByMap: map[string]bool{}}
	if m.grows {
		d = dynamic()
		maps.Copy(d.Added, m.added)
	}
	for _, r := range m.live.Rules {
		if r.ByMap {
			d.Routes[r.Frontend], d.ByMap[r.Frontend] = r.AnyPort, true
		}
	}
	return d
}

func part(c haproxy.Config, domains []string) haproxy.Config {
	in := map[string]bool{}
	for _, domain := range domains {
		in[domain] = true
	}
	c.Backends = slices.DeleteFunc(c.Backends, func(b haproxy.Backend) bool {
		domain, _ := haproxy.DomainOf(b.Name)
		return !in[domain]
	})
	c.Rules = slices.DeleteFunc(c.Rules, func(r haproxy.Rule) bool { return !in[r.Domain] })
	return c
}

func clone(c haproxy.Config) haproxy.Config {
	out := haproxy.Config{Backends: slices.Clone(c.Backends), Rules: slices.Clone(c.Rules)}
	for i := range out.Backends {
		out.Backends[i].Servers = slices.Clone(out.Backends[i].Servers)
	}
	return out
}

func (m *fake) digest() haproxy.Digest { return haproxy.Digest(fmt.Sprint(m.version)) }

func (m *fake) write(want haproxy.Config, base haproxy.Digest) error {
	if m.conflicts > 0 {
		m.conflicts--
		m.version++
	}
	if base != m.digest() {
		return haproxy.ErrConflict
	}
	if m.refuses != nil {
		if domains := m.refuses(want); domains != nil {
			return &haproxy.InvalidConfigError{Output: "refused", Domains: slices.DeleteFunc(domains, func(s string) bool { return s == "" })}
		}
	}
	m.file, m.missing = clone(want), false
	m.version++
	m.recollection.version = m.version
	return nil
}

func (m *fake) Write(_ context.Context, e haproxy.Edit) error {
	if e.Rewrite != "" {
		m.rewrites++
		return m.write(e.Want, e.Base)
	}
	m.edits++
	if m.failCommit > 0 {
		m.failCommit--
		return fmt.Errorf("leftovers")
	}
	return m.write(e.Want, e.Base)
}

func (m *fake) Loaded() (haproxy.Config, error) {
	if m.loaded == nil {
		return clone(m.live), nil
	}
	return clone(*m.loaded), nil
}

func (m *fake) Lock() (func() error, error) { return func() error { return nil }, nil }

func (m *fake) Keep(notes []byte) error {
	m.kept = notes
	m.keeps++
	return nil
}

func (m *fake) Kept() ([]byte, error) { return m.kept, nil }

func (m *fake) Servers(context.Context, ...string) ([]haproxy.ServerStatus, error) { return nil, nil }

func (m *fake) Waiting() (haproxy.Wait, bool) { return haproxy.Wait{}, false }

func (m *fake) Reload(context.Context) error {
	if m.noReload != nil {
		return m.noReload
	}
	m.reloads++
	if m.failReload > 0 {
		m.failReload--
		return &haproxy.ReloadError{Output: "no"}
	}
	if m.unloadable != nil && m.unloadable(m.file) {
		return &haproxy.ReloadError{Output: "no"}
	}
	loaded := clone(m.file)
	m.loaded, m.added = &loaded, map[string]bool{}
	if m.deaf = false; !m.unlisted {
		m.live = clone(m.file)
	}
	if m.edited != nil {
		m.edited(&m.file)
		m.version++
		m.edited = nil
	}
	return nil
}

// restart is what an operator does.
func (m *fake) restart() {
	m.live, m.added = clone(m.file), map[string]bool{}
	m.reloads++
}

func (m *fake) Run(_ context.Context, changes []haproxy.Change) (out haproxy.Outcome, err error) {
	defer func() {
		var domains []string
		for _, c := range changes {
			domains = append(domains, c.Domain())
		}
		if st := m.state(domains...); st.Down == nil && len(domains) > 0 {
			m.remember(st, domains...)
		}
	}()
	dynamic := m.dynamic()
	for _, c := range changes {
		m.commands++
		ok, why := m.caps.Live(c)
		if named, _ := dynamic.Live(c); !ok && !named {
			return out, fmt.Errorf("%s was sent, though: %s", c, why)
		}
		if m.stubborn != nil && m.stubborn(c) {
			out.Refused = append(out.Refused, haproxy.Failure{Change: c, Reply: "no"})
			continue
		}
		if remove, ok := c.(haproxy.RemoveServer); ok && m.lingers != nil && m.lingers(remove) {
			out.Draining = append(out.Draining, remove)
			draining := remove.Server
			draining.State = haproxy.Drain
			c = haproxy.SetServer{Backend: remove.Backend, Have: remove.Server, Want: draining}
		}
		if remove, ok := c.(haproxy.RemoveBackend); ok && len(serversOf(m.live, remove.Name)) > 0 {
			out.Staying = append(out.Staying, remove)
			continue
		}
		if err := m.run(c); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (m *fake) run(c haproxy.Change) error {
	find := func(backend, server string) (b *haproxy.Backend, i int, ok bool) {
		j := slices.IndexFunc(m.live.Backends, func(b haproxy.Backend) bool { return b.Name == backend })
		if j < 0 {
			return nil, 0, false
		}
		b = &m.live.Backends[j]
		i, ok = slices.BinarySearchFunc(b.Servers, haproxy.Server{Name: server}, byServer)
		return b, i, ok
	}
	switch ch := c.(type) {
	case haproxy.AddBackend:
		if b, _, _ := find(ch.Name, ""); b != nil {
			return fmt.Errorf("%s cannot be", c)
		}
		m.added[ch.Name] = true
		m.live.Backends = append(m.live.Backends, haproxy.Backend{Name: ch.Name, Options: ch.Options})
		slices.SortFunc(m.live.Backends, byBackend)
	case haproxy.AddRule:
		if b, _, _ := find(ch.Rule.Backend(), ""); b == nil {
			return fmt.Errorf("%s cannot be", c)
		}
		m.live.Rules = append(m.live.Rules, ch.Rule)
		haproxy.SortRules(m.live.Rules)
	case haproxy.RemoveRule:
		m.live.Rules = slices.DeleteFunc(m.live.Rules, func(r haproxy.Rule) bool { return r == ch.Rule })
	case haproxy.RemoveBackend:
		delete(m.added, ch.Name)
		m.live.Backends = slices.DeleteFunc(m.live.Backends, func(b haproxy.Backend) bool { return b.Name == ch.Name })
	case haproxy.SetBackend:
		b, _, _ := find(ch.Name, "")
		b.Options.Names = ch.Want.Names
	case haproxy.AddServer:
		b, i, there := find(ch.Backend, ch.Server.Name)
		if b == nil || there || !b.Options.Dynamic() {
			return fmt.Errorf("%s cannot be", c)
		}
		b.Servers = slices.Insert(b.Servers, i, ch.Server)
	case haproxy.SetServer:
		b, i, there := find(ch.Backend, ch.Want.Name)
		if !there || ch.Have.Weight != ch.Want.Weight && !b.Options.Dynamic() {
			return fmt.Errorf("%s cannot be", c)
		}
		set(&b.Servers[i], ch.Have, ch.Want)
	case haproxy.RemoveServer:
		b, i, there := find(ch.Backend, ch.Server.Name)
		if !there {
			return fmt.Errorf("%s cannot be", c)
		}
		b.Servers = slices.Delete(b.Servers, i, i+1)
	default:
		return fmt.Errorf("%s is nothing for the Runtime API", c)
	}
	return nil
}

// set makes of a server what the commands for a change do: they name only what is to differ.
func set(s *haproxy.Server, have, want haproxy.Server) {
	if have.Addr != want.Addr {
		s.Addr = want.Addr
	}
	if have.Weight != want.Weight {
		s.Weight = want.Weight
	}
	if have.MaxConn != want.MaxConn {
		s.MaxConn = want.MaxConn
	}
	if have.State != want.State {
		s.State = want.State
	}
}

// A snapshot is a Source.
type source struct {
	snapshot registry.Snapshot
	err      error
}

func (s source) Snapshot(context.Context) (registry.Snapshot, error) { return s.snapshot, s.err }

func (s source) Domain(context.Context, string) (registry.Snapshot, error) { return s.snapshot, s.err }

func (s source) Keys(context.Context, string) ([]registry.Key, error) { return nil, s.err }

// Drawing: few names and values, so that what is drawn is near to what was drawn before.

var domains = []string{"a.abc.com", "b.abc.com", "c.abc.com", "d.org"}

func drawSnapshot(t *rapid.T) registry.Snapshot {
	s := registry.Snapshot{Revision: 7, Keys: 1}
	aliases := map[string][]string{} // each of one domain
	for _, alias := range []string{"*.abc.com", "*.org", "www.abc.com", "x.org"} {
		owner := rapid.SampledFrom(append([]string{""}, domains...)).Draw(t, alias)
		aliases[owner] = append(aliases[owner], alias)
	}
	for _, name := range domains {
		if !rapid.Bool().Draw(t, name) {
			continue
		}
		d := &registry.Domain{Name: name, Options: registry.DomainOptions{
			Aliases:       strings.Join(aliases[name], " "),
			Balance:       rapid.SampledFrom([]string{"", "", "", "leastconn", "source"}).Draw(t, "balance"),
			Check:         rapid.SampledFrom([]string{"", "", "off", "/health", "tcp inter=5s", "/health status=200 host=x fall=9"}).Draw(t, "check"),
			TLS:           rapid.SampledFrom([]string{"", "", "verify", "noverify", "off"}).Draw(t, "tls"),
			TimeoutServer: rapid.SampledFrom([]string{"", "", "5m"}).Draw(t, "timeout"),
			Maintenance:   rapid.Bool().Draw(t, "maintenance"),
			Cookie:        rapid.SampledFrom([]string{"", "", "off", "SERVERID httponly"}).Draw(t, "cookie"),
		}, Held: rapid.IntRange(0, 9).Draw(t, "held") == 0}
		for _, host := range []string{"s1", "s2", "s3"} {
			switch rapid.IntRange(0, 6).Draw(t, host) {
			case 6:
				d.Unclear = append(d.Unclear, registry.Problem{Key: host, Reason: "no address", Domain: name, Host: host})
			case 0, 1:
			case 2:
				d.HeldHosts = append(d.HeldHosts, host)
			default:
				d.Hosts = append(d.Hosts, drawHost(t, host))
			}
		}
		s.Domains = append(s.Domains, d)
	}
	return s
}

func drawHost(t *rapid.T, name string) registry.Host {
	return registry.Host{
		Name: name, Addr: drawAddr(t), Weight: rapid.SampledFrom([]int{1, 1, 1, 5}).Draw(t, "weight"),
		MaxConn: rapid.SampledFrom([]int{0, 0, 9}).Draw(t, "maxconn"),
		Backup:  rapid.IntRange(0, 5).Draw(t, "backup") == 0,
		State:   rapid.SampledFrom([]registry.HostState{registry.Ready, registry.Ready, registry.Drain, registry.Maint}).Draw(t, "state"),
	}
}

func drawAddr(t *rapid.T) netip.AddrPort {
	return netip.MustParseAddrPort(rapid.SampledFrom([]string{"10.0.0.1:80", "10.0.0.1:80", "10.0.0.2:80", "[::1]:81"}).Draw(t, "addr"))
}

// drawNear draws a configuration a few steps away from one.
func drawNear(t *rapid.T, c haproxy.Config, label string) haproxy.Config {
	c = clone(c)
	for range rapid.IntRange(0, 3).Draw(t, label) {
		if len(c.Backends) == 0 {
			break
		}
		b := &c.Backends[rapid.IntRange(0, len(c.Backends)-1).Draw(t, "backend")]
		i := rapid.IntRange(0, max(0, len(b.Servers)-1)).Draw(t, "server")
		switch kind := rapid.IntRange(0, 8).Draw(t, "kind"); {
		case kind == 0 && len(b.Servers) > 0:
			b.Servers = slices.Delete(b.Servers, i, i+1)
		case kind == 1 && len(b.Servers) > 0:
			b.Servers[i].Addr = drawAddr(t)
		case kind == 2 && len(b.Servers) > 0:
			b.Servers[i].State = rapid.SampledFrom([]haproxy.ServerState{haproxy.Ready, haproxy.Drain, haproxy.Maint}).Draw(t, "state")
		case kind == 3 && len(b.Servers) > 0:
			b.Servers[i].Cookie = rapid.SampledFrom([]string{"", "other"}).Draw(t, "cookie")
		case kind == 4:
			if i, there := slices.BinarySearchFunc(b.Servers, haproxy.Server{Name: "s0"}, byServer); !there {
				b.Servers = slices.Insert(b.Servers, i, haproxy.Server{Name: "s0", Cookie: "s0", Addr: drawAddr(t), Weight: 1, State: haproxy.Ready})
			}
		case kind == 5:
			b.Options.Balance = "leastconn"
		case kind == 6:
			dropDomain(&c, b.Name)
		case kind == 8:
			c.Rules = slices.DeleteFunc(c.Rules, func(r haproxy.Rule) bool { return r.ByMap && r.Backend() == b.Name })
		case kind == 7:
			b.Options.Names = rapid.SampledFrom([]string{"", "*.com", "www.abc.com", "www.abc.com www.abc.com"}).Draw(t, "names")
		}
	}
	return c
}

func dropDomain(c *haproxy.Config, backend string) {
	c.Backends = slices.DeleteFunc(c.Backends, func(b haproxy.Backend) bool { return b.Name == backend })
	c.Rules = slices.DeleteFunc(c.Rules, func(r haproxy.Rule) bool { return r.Backend() == backend })
}

func drawMemory(t *rapid.T, l Layout) *fake {
	file, _ := l.Desired(drawSnapshot(t), haproxy.State{})
	m := &fake{file: drawNear(t, file, "file")}
	for i := range m.file.Backends { // a file knows no drain
		for j := range m.file.Backends[i].Servers {
			m.file.Backends[i].Servers[j].State = cmp.Or(map[haproxy.ServerState]haproxy.ServerState{haproxy.Maint: haproxy.Maint}[m.file.Backends[i].Servers[j].State], haproxy.Ready)
		}
	}
	m.live = drawNear(t, file, "live")
	m.caps = haproxy.CapabilitiesOf(rapid.SampledFrom([]haproxy.Version{{Major: 2, Minor: 6}, {Major: 3, Minor: 2}}).Draw(t, "version"))
	return m
}
