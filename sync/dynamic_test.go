package sync

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

var v34 = haproxy.Version{Major: 3, Minor: 4}

// dynamic is what a HAProxy 3.4 with the files of init can take.
func dynamic() haproxy.Dynamic {
	return haproxy.Dynamic{
		Allowed:  true,
		Defaults: map[haproxy.BackendOptions]string{{Balance: "roundrobin", Cookie: haproxy.StickyCookie}: "domain"},
		Routes:   map[string]bool{"webin": true},
		Added:    map[string]bool{},
	}
}

func TestADomainComesToTheProcessAsAWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	snapshot := twoDomains()
	snapshot.Domains = append(snapshot.Domains, &registry.Domain{Name: "new.abc.com", Hosts: []registry.Host{host("s", "10.0.0.9:80")}})
	leastconn := registry.DomainOptions{Balance: "leastconn"}
	for name, c := range map[string]struct {
		change  func(d *haproxy.Dynamic)
		options registry.DomainOptions
		live    bool
	}{
		"all of it can come":                   {func(*haproxy.Dynamic) {}, registry.DomainOptions{}, true},
		"it is not allowed":                    {func(d *haproxy.Dynamic) { d.Allowed = false }, registry.DomainOptions{}, false},
		"no defaults have its options":         {func(*haproxy.Dynamic) {}, leastconn, false},
		"a frontend has no map rule":           {func(d *haproxy.Dynamic) { d.Routes = nil }, registry.DomainOptions{}, false},
		"the map rule takes other hosts":       {func(d *haproxy.Dynamic) { d.Routes = map[string]bool{"webin": false} }, registry.DomainOptions{}, false},
		"another domain has its name":          {func(d *haproxy.Dynamic) { d.Named = map[string]bool{"new.abc.com": true} }, registry.DomainOptions{}, false},
		"only another frontend has a map rule": {func(d *haproxy.Dynamic) { d.Routes = map[string]bool{"other": true} }, registry.DomainOptions{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			have, _ := layout.Desired(twoDomains(), haproxy.State{})
			asked := snapshot
			asked.Domains = copied(snapshot.Domains)
			asked.Domains[2].Options = c.options
			want, _ := layout.Desired(asked, haproxy.State{})
			st := haproxy.State{File: have, Live: have, Capabilities: haproxy.CapabilitiesOf(v34), Dynamic: dynamic()}
			c.change(&st.Dynamic)
			if c.options == (registry.DomainOptions{}) && st.Dynamic.Named == nil && (layout.NeedsReload(st) == nil) != c.live {
				t.Errorf("a new domain needs a reload because of %v", layout.NeedsReload(st))
			}
			plan := newPlan(wanted{file: want, process: want}, st)
			var kinds []string
			for _, change := range plan.changes(ViaRuntime) {
				kinds = append(kinds, string(change.Object()))
			}
			if got := strings.Join(kinds, " "); c.live && got != "backend server rule" || !c.live && got != "" {
				t.Errorf("by the Runtime API: %q", got)
			}
			if (len(plan.Reload) == 0) != c.live {
				t.Errorf("reload %q", plan.Reload)
			}
			if waits := plan.waits(); waits == c.live {
				t.Errorf("waits for the file: %t", waits)
			}
			if c.live && len(plan.early()) != 3 {
				t.Errorf("early: %v", plan.early())
			}
		})
	}
}

func TestARemovedDomainIsPassedByWhereSomethingStandsBehindIt(t *testing.T) {
	t.Parallel()
	all, _ := layout.Desired(twoDomains(), haproxy.State{})
	one := twoDomains()
	one.Domains = one.Domains[:1]
	want, _ := layout.Desired(one, haproxy.State{})
	for name, c := range map[string]struct {
		behind         string
		allowed, added bool
		runtime        string
		reloads        int
	}{
		"of the file":                       {"default_backend x", true, false, "server rule", 0},
		"of the file, nothing behind it":    {"", true, false, "server", 0},
		"of the file, without the commands": {"default_backend x", false, false, "server", 1},
		"that was added":                    {"", true, true, "server backend rule", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := haproxy.State{File: want, Live: all, Capabilities: haproxy.CapabilitiesOf(v34), Dynamic: dynamic(), Behind: c.behind}
			st.Dynamic.Allowed, st.Dynamic.Added["b.abc.com_cluster"] = c.allowed, c.added
			plan := newPlan(wanted{file: want, process: want}, st)
			var kinds []string
			for _, change := range plan.changes(ViaRuntime) {
				if change.Op() != haproxy.OpRemove {
					t.Errorf("%s", change)
				}
				kinds = append(kinds, string(change.Object()))
			}
			slices.Sort(kinds)
			wanted := strings.Fields(c.runtime)
			slices.Sort(wanted)
			if !slices.Equal(kinds, wanted) || len(plan.Reload) != c.reloads {
				t.Errorf("removed by the Runtime API: %v, want %v; reload %q", kinds, wanted, plan.Reload)
			}
		})
	}
}

// TestAnUnpublishedDomainComesBackWithOtherOptionsByAReload has a domain that HAProxy has loaded, and passes by, come back.
func TestAnUnpublishedDomainComesBackWithOtherOptionsByAReload(t *testing.T) {
	t.Parallel()
	for maintenance, live := range map[bool]bool{false: true, true: false} {
		all, _ := layout.Desired(twoDomains(), haproxy.State{})
		passed := all
		passed.Rules = slices.DeleteFunc(slices.Clone(all.Rules), func(r haproxy.Rule) bool { return r.Domain == "b.abc.com" })
		asked := twoDomains()
		asked.Domains[1].Options.Maintenance = maintenance
		want, _ := layout.Desired(asked, haproxy.State{})
		st := haproxy.State{File: passed, Live: passed, Capabilities: haproxy.CapabilitiesOf(v34), Dynamic: dynamic(), Behind: "default_backend x"}
		st.Dynamic.Unpublished = map[string]bool{"b.abc.com_cluster": true}
		plan := newPlan(wanted{file: want, process: want}, st)
		if got := len(plan.early()) > 0; got != live || (len(plan.Reload) == 0) != live {
			t.Errorf("maintenance %t: early %v, reload %q", maintenance, plan.early(), plan.Reload)
		}
	}
}

func TestADomainThatCameWaitsForTheFileNoMore(t *testing.T) {
	t.Parallel()
	live, _ := layout.Desired(twoDomains(), haproxy.State{})
	moved := twoDomains()
	moved.Domains[1].Hosts[0].Addr = netip.MustParseAddrPort("10.0.0.3:1")
	want, _ := layout.Desired(moved, haproxy.State{})
	one := twoDomains()
	one.Domains = one.Domains[:1]
	file, _ := layout.Desired(one, haproxy.State{})
	st := haproxy.State{File: file, Live: live, Capabilities: haproxy.CapabilitiesOf(v34), Dynamic: dynamic()}
	st.Dynamic.Added["b.abc.com_cluster"] = true
	if plan := newPlan(wanted{file: want, process: want}, st); len(plan.early()) != 1 || plan.waits() {
		t.Errorf("early: %v of %v", plan.early(), plan.Actions)
	}
	plan := newPlan(wanted{file: file, process: file}, haproxy.State{File: want, Live: live, Capabilities: st.Capabilities, Dynamic: st.Dynamic})
	if len(plan.early()) != 0 || !plan.waits() {
		t.Errorf("its removal does not wait for the file: early %v", plan.early())
	}
}

// TestANewDomainIsAcknowledgedOnceHaproxyCHasSeenIt has a domain that the process takes by commands. If haproxy -c refuses it, the next reload
// would lose it.
func TestANewDomainIsAcknowledgedOnceHaproxyCHasSeenIt(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v34), func(t *testing.T, i inn) {
		i.haproxy.change(func() { i.haproxy.grows, i.haproxy.added = true, map[string]bool{} })
		i.registry.tell(twoDomains())
		elapse(5 * time.Second)
		s := revised(twoDomains(), 901)
		s.Domains = append(s.Domains, domain("new.abc.com", host("server1", "10.0.0.9:80")))
		i.registry.change(s, "new.abc.com")
		synctest.Wait()
		if s, served := i.Status(), len(i.haproxy.now().live.Backends); served != 3 || s.Applied >= 901 || !slices.Equal(s.Late(), []string{"new.abc.com"}) {
			t.Errorf("%d backends, applied %d, late %v before the file has the domain", served, s.Applied, s.Late())
		}
		elapse(2 * fileDelay)
		if s := i.Status(); s.Applied != 901 || len(s.Late()) > 0 || i.haproxy.now().reloads > 0 {
			t.Errorf("applied %d, late %v after the file has it", s.Applied, s.Late())
		}
	})
}

// TestAnAgentThatKeepsUpIsNotBehindForLong has new domains come for two minutes, so that always one of them is not in the file yet.
func TestAnAgentThatKeepsUpIsNotBehindForLong(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v34), func(t *testing.T, i inn) {
		i.haproxy.change(func() { i.haproxy.grows, i.haproxy.added = true, map[string]bool{} })
		i.registry.tell(twoDomains())
		elapse(5 * time.Second)
		i.haproxy.change(func() { i.haproxy.slowWrite = time.Second })
		s := twoDomains()
		for n := range 200 {
			name := fmt.Sprintf("new%04d.abc.com", n)
			s = revised(s, registry.Revision(901+n), domain(name, host("server1", "10.0.0.9:80")))
			i.registry.change(s, name)
			elapse(600 * time.Millisecond)
			if lag := i.Status().Lag(); lag == 0 || lag > 4*fileDelay {
				t.Fatalf("after %d domains %s behind", n+1, lag)
			}
		}
		elapse(5 * fileDelay)
		if s := i.Status(); s.Lag() != 0 || s.Applied != 1100 {
			t.Errorf("in the end %s behind, applied %d", s.Lag(), s.Applied)
		}
	})
}

// TestManyNewDomainsComeWithoutAReadingOfEverythingForEachTurn has a thousand domains come at once, which the process takes.
func TestManyNewDomainsComeWithoutAReadingOfEverythingForEachTurn(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v34), func(t *testing.T, i inn) {
		i.haproxy.change(func() { i.haproxy.grows, i.haproxy.added = true, map[string]bool{} })
		i.registry.tell(twoDomains())
		elapse(5 * time.Second)
		reads, reloads := i.haproxy.now().wholeReads, i.haproxy.now().reloads
		s := revised(twoDomains(), 901)
		var names []string
		for n := range maxLiveDomains {
			names = append(names, fmt.Sprintf("new%04d.abc.com", n))
			s.Domains = append(s.Domains, domain(names[n], host("server1", "10.0.0.9:80")))
		}
		i.registry.change(s, names...)
		elapse(5 * time.Second)
		now := i.haproxy.now()
		if len(now.live.Backends) != maxLiveDomains+2 || now.reloads != reloads {
			t.Errorf("%d backends, %d reloads", len(now.live.Backends), now.reloads-reloads)
		}
		if more := now.wholeReads - reads; more > 2 { // one for the many, one after the file was written
			t.Errorf("everything was read %d times", more)
		}
		if s := i.Status(); s.Applied != 901 || !s.Ready() || s.Counts.Drift > 0 {
			t.Errorf("applied %d, %d drifts: %q", s.Applied, s.Counts.Drift, s.Reasons)
		}
	})
}

func TestMoreNewDomainsThanComeSoonerOneByOneTakeTheReload(t *testing.T) {
	t.Parallel()
	have, _ := layout.Desired(twoDomains(), haproxy.State{})
	asked := twoDomains()
	for n := range maxLiveDomains + 1 {
		asked.Domains = append(asked.Domains, domain(fmt.Sprintf("new%04d.abc.com", n), host("server1", "10.0.0.9:80")))
	}
	want, _ := layout.Desired(asked, haproxy.State{})
	plan := newPlan(wanted{file: want, process: want}, haproxy.State{File: have, Live: have, Capabilities: haproxy.CapabilitiesOf(v34), Dynamic: dynamic()})
	if n := len(plan.changes(ViaRuntime)); n > 0 || !strings.Contains(fmt.Sprint(plan.Reload), "1001 new domains come sooner by a reload than one by one") {
		t.Errorf("%d changes by the Runtime API; reload: %q", n, plan.Reload)
	}
}
