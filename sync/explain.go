package sync

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// An Explanation follows a domain from its keys to HAProxy's servers.
type Explanation struct {
	Domain   string
	Revision registry.Revision // 0 if the registry could not be read
	// Registry and HAProxy say why one of them could not be read; nil if it was.
	Registry error
	HAProxy  error
	// Held says why a safeguard holds all changes back; empty if none does.
	Held string
	// Ruled is set if a rule of the process sends requests for the domain to its backend.
	Ruled bool
	// Rules are the process's rules of the domain, sorted.
	Rules []haproxy.Rule
	// Names are the further names that these rules match, sorted.
	Names []string
	// Spare is the spare backend that serves the domain until the next reload; empty if none does.
	Spare string
	// Options are the domain's options in the registry.
	Options registry.DomainOptions
	Hosts   []ExplainedHost // sorted by name

	prefix      string
	maintenance bool // HAProxy answers all requests for the domain itself
}

// An ExplainedHost follows one host from its keys to its server.
type ExplainedHost struct {
	Host string
	// Verdict is InRotation, NotInRotation or Unknown. Why is the reason.
	Verdict string
	Why     string
	Keys    []registry.Key
	// Registered is the host that the keys make; nil if they make none. Missing says what a half-written host lacks.
	Registered *registry.Host
	Missing    string
	Problems   []registry.Problem
	// Plan says, line by line, what sync would do for the host and its domain.
	Plan []string
	// Server is the host's server in the process; nil if there is none, or HAProxy could not be read.
	Server *haproxy.ServerStatus
	// Override is what an operator set on HAProxy's socket; nil if nothing.
	Override *Override
}

// The verdicts on a host.
const (
	InRotation    = "in rotation"
	NotInRotation = "not in rotation"
	Unknown       = "unknown"
)

// Explain explains the hosts of a domain, or only one of them if host is not empty. It only reads. The Explanation says what could not be
// read; the error is the context's.
func (s *Syncer) Explain(ctx context.Context, domain, host string) (Explanation, error) {
	e := Explanation{Domain: domain}
	p, err := s.prepare(ctx)
	var held *HeldError
	switch {
	case errors.As(err, &held):
		e.Held = held.Reason
	case errors.Is(err, registry.ErrUnavailable):
		e.Registry = err
		p.scope = haproxy.Domains(domain)
		if p.state, e.HAProxy = s.cfg.Process.State(ctx, p.scope); errors.Is(err, registry.ErrDenied) {
			if e.Registry = s.readDomain(ctx, p, domain); e.Registry == nil && e.HAProxy == nil {
				p.compare(p.state)
				p.keepOverrides()
			}
		}
	case err != nil:
		e.HAProxy = err
	}
	e.Revision, e.prefix = p.report.Revision, p.snapshot.Prefix
	if e.HAProxy == nil {
		e.HAProxy = p.state.Down
	}
	keys, err := s.cfg.Source.Keys(ctx, domain)
	if err != nil && e.Registry == nil {
		e.Registry = err
	}
	var servers []haproxy.ServerStatus
	if e.HAProxy == nil {
		servers, e.HAProxy = s.cfg.Process.Servers(ctx, domain)
	}
	if p.report.Compared {
		e.explainDomain(p.whole)
	} else {
		e.explainDomain(p.state)
	}
	d, _ := domainOf(p.snapshot, domain)
	e.Options = d.Options
	b := explainer{Explanation: e, pass: p, kept: p.report.Kept}
	if !p.report.Compared {
		notes, _ := s.cfg.File.Kept() // unreadable notes count as none
		b.kept = notedOverrides(notes).list()
	}
	b.Hosts = b.hosts(host, keys, servers)
	return b.Explanation, ctx.Err()
}

// explainDomain sets what the process does with requests for the domain.
func (e *Explanation) explainDomain(st haproxy.State) {
	e.Rules = slices.DeleteFunc(slices.Clone(st.Live.Rules), func(r haproxy.Rule) bool { return r.Domain != e.Domain })
	e.Ruled = slices.ContainsFunc(e.Rules, func(r haproxy.Rule) bool { return !r.Closed })
	live, _ := backendOf(st.Live, e.Domain)
	e.maintenance = slices.Contains(strings.Split(live.Options.Lines, "\n"), maintenanceLine)
	e.Spare = st.Dynamic.InSpare[haproxy.BackendName(e.Domain)]
	e.Names = strings.Fields(live.Options.Names)
}

// readDomain makes one domain the whole registry of a pass, for a user who may read no other domains. Without the others, it is not known
// what a safeguard holds back.
func (s *Syncer) readDomain(ctx context.Context, p *pass, domain string) error {
	snapshot, err := s.cfg.Source.Domain(ctx, domain)
	if err != nil {
		return err
	}
	p.snapshot, p.counts = snapshot, countSnapshot(snapshot)
	p.report = newReport(p.counts)
	return nil
}

// An explainer builds an Explanation.
type explainer struct {
	Explanation
	pass *pass
	// kept are the overrides that the pass found. If it could not compare, they come from an agent's notes.
	kept []Override
}

// hosts returns the hosts in the registry and in HAProxy, sorted by name. If only is not empty, it returns just that host.
func (e explainer) hosts(only string, keys []registry.Key, servers []haproxy.ServerStatus) []ExplainedHost {
	found := map[string]*ExplainedHost{}
	at := func(name string) *ExplainedHost {
		if found[name] == nil {
			found[name] = &ExplainedHost{Host: name, Keys: []registry.Key{}, Problems: []registry.Problem{}, Plan: []string{}}
		}
		return found[name]
	}
	if only != "" {
		at(only)
	}
	for _, k := range keys {
		if k.Host != "" {
			h := at(k.Host)
			h.Keys = append(h.Keys, k)
		}
	}
	d, _ := domainOf(e.pass.snapshot, e.Domain)
	d, _ = holdOwnAddresses(d, e.prefix, e.pass.state.Binds)
	for i := range d.Hosts {
		at(d.Hosts[i].Name).Registered = &d.Hosts[i]
	}
	for _, p := range d.Pending {
		at(p.Host).Missing = p.Missing
	}
	for _, name := range d.HeldHosts {
		at(name)
	}
	for i := range servers {
		at(servers[i].Name).Server = &servers[i]
	}
	var hosts []ExplainedHost
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if only == "" || name == only {
			hosts = append(hosts, e.complete(*found[name]))
		}
	}
	return hosts
}

// complete adds what the pass found about a host, and the verdict.
func (e explainer) complete(h ExplainedHost) ExplainedHost {
	for _, p := range e.pass.report.Problems {
		if p.Domain == e.Domain && (p.Host == "" || p.Host == h.Host) {
			h.Problems = append(h.Problems, p)
		}
	}
	plan := e.pass.report.Plan
	for _, a := range plan.Actions {
		if name := a.Change.Key().Name; a.Change.Domain() == e.Domain && (name == "" || name == h.Host) {
			h.Plan = append(h.Plan, string(a.Via)+" "+a.Change.String())
		}
	}
	if len(h.Plan) > 0 {
		for _, reason := range plan.Reload {
			h.Plan = append(h.Plan, "reload   "+reason)
		}
	}
	for _, o := range e.kept {
		if o.Domain == e.Domain && o.Host == h.Host {
			h.Override = &o
		}
	}
	h.Verdict, h.Why = e.verdict(h)
	return h
}
