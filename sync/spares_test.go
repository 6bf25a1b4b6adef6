package sync

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// spares is what a HAProxy 3.2 can take that has loaded spare backends, of which some are free.
func spares(free int) haproxy.Dynamic {
	return haproxy.Dynamic{
		Spares:  map[haproxy.BackendOptions]int{layout.Plain(): free},
		Routes:  map[string]bool{"webin": true},
		Added:   map[string]bool{},
		InSpare: map[string]string{},
	}
}

// byRuntime are the changes of a plan that are made in the process, without those of servers.
func byRuntime(p Plan) (all []string) {
	for _, c := range p.changes(ViaRuntime) {
		if c.Object() != haproxy.ObjectServer {
			all = append(all, c.String())
		}
	}
	slices.Sort(all)
	return all
}

func TestNewDomainsComeInSpareBackendsAsLongAsOneIsFree(t *testing.T) {
	t.Parallel()
	have, _ := layout.Desired(twoDomains(), haproxy.State{})
	snapshot := twoDomains()
	for _, name := range []string{"d.abc.com", "e.abc.com", "f.abc.com"} {
		snapshot.Domains = append(snapshot.Domains, &registry.Domain{Name: name, Hosts: []registry.Host{host("s", "10.0.0.9:80")}})
	}
	snapshot.Domains[2].Options.Balance = "leastconn" // of which there is no spare backend
	want, _ := layout.Desired(snapshot, haproxy.State{})
	for free, c := range map[int]struct {
		domains []string
		scarce  string
	}{0: {nil, "e.abc.com, f.abc.com"}, 1: {[]string{"e.abc.com"}, "f.abc.com"}, 2: {[]string{"e.abc.com", "f.abc.com"}, ""}, 7: {[]string{"e.abc.com", "f.abc.com"}, ""}} {
		st := haproxy.State{File: have, Live: have, Capabilities: haproxy.CapabilitiesOf(v32), Dynamic: spares(free)}
		plan := newPlan(wanted{file: want, process: want}, st)
		var expected []string
		for _, name := range c.domains {
			expected = append(expected, fmt.Sprintf("+ backend %s_cluster balance roundrobin, in a spare backend", name), fmt.Sprintf("+ use_backend rule of %s in webin", name))
		}
		if got := byRuntime(plan); !slices.Equal(got, slices.Sorted(slices.Values(expected))) {
			t.Errorf("%d free: by the Runtime API %q, want %q", free, got, expected)
		}
		reasons := []string{"new domain: d.abc.com (the rules of a running process cannot change)"}
		if c.scarce != "" {
			reasons = append(reasons, "new domain: "+c.scarce+" (no spare backend is free)")
		}
		if !slices.Equal(plan.Reload, reasons) {
			t.Errorf("%d free: reload %q, want %q", free, plan.Reload, reasons)
		}
	}
}

func TestADomainThatCannotComeTakesNoSpareBackend(t *testing.T) {
	t.Parallel()
	have, _ := layout.Desired(twoDomains(), haproxy.State{})
	snapshot := twoDomains()
	var many []registry.Host
	for i := range maxLiveServers + 1 {
		many = append(many, host(fmt.Sprintf("s%04d", i), "10.0.0.9:80"))
	}
	snapshot.Domains = append(snapshot.Domains, &registry.Domain{Name: "d.abc.com", Hosts: many},
		&registry.Domain{Name: "e.abc.com", Hosts: []registry.Host{host("s", "10.0.0.9:80")}})
	want, _ := layout.Desired(snapshot, haproxy.State{})
	for _, version := range []haproxy.Version{v32, {Major: 2, Minor: 6}} {
		st := haproxy.State{File: have, Live: have, Capabilities: haproxy.CapabilitiesOf(version), Dynamic: spares(1)}
		plan := newPlan(wanted{file: want, process: want}, st)
		got := strings.Join(byRuntime(plan), "; ")
		if strings.Contains(got, "d.abc.com") || strings.Contains(got, "e.abc.com") != st.Capabilities.CookieLive {
			t.Errorf("%s: by the Runtime API %q", version, got)
		}
		if len(plan.Reload) == 0 {
			t.Errorf("%s: no reload", version)
		}
	}
}

func TestARuleIsInTheMapOfADomainInASpareBackendAlone(t *testing.T) {
	t.Parallel()
	want, _ := layout.Desired(twoDomains(), haproxy.State{})
	have := want
	have.Rules = slices.DeleteFunc(slices.Clone(want.Rules), func(r haproxy.Rule) bool { return r.Domain == "b.abc.com" })
	for spare, runtime := range map[string]int{"": 0, "hapsync-spare-1": 1} {
		st := haproxy.State{File: want, Live: have, Capabilities: haproxy.CapabilitiesOf(v32), Dynamic: spares(1)}
		if spare != "" {
			st.Dynamic.Added["b.abc.com_cluster"], st.Dynamic.InSpare["b.abc.com_cluster"] = true, spare
		}
		plan := newPlan(wanted{file: want, process: want}, st)
		if got := byRuntime(plan); len(got) != runtime || len(plan.Reload) != 1-runtime {
			t.Errorf("in %q: by the Runtime API %q, reload %q", spare, got, plan.Reload)
		}
	}
}

func TestADomainLeavesItsSpareBackendWhateverStandsBehindIt(t *testing.T) {
	t.Parallel()
	live, _ := layout.Desired(twoDomains(), haproxy.State{})
	one := twoDomains()
	one.Domains = one.Domains[:1]
	want, _ := layout.Desired(one, haproxy.State{})
	for _, behind := range []string{"", "default_backend x"} {
		st := haproxy.State{File: want, Live: live, Capabilities: haproxy.CapabilitiesOf(v32), Dynamic: spares(0), Behind: behind}
		st.Dynamic.Added["b.abc.com_cluster"], st.Dynamic.InSpare["b.abc.com_cluster"] = true, "hapsync-spare-1"
		plan := newPlan(wanted{file: want, process: want}, st)
		if got := byRuntime(plan); !slices.Equal(got, []string{"- backend b.abc.com_cluster", "- use_backend rule of b.abc.com in webin"}) || len(plan.Reload) > 0 {
			t.Errorf("behind it %q: by the Runtime API %q, reload %q", behind, got, plan.Reload)
		}
	}
}
