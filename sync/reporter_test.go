package sync

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A counter is a Viewer: of each server it has some sessions.
type counter struct {
	mu       stdsync.Mutex
	sessions map[string]int // by "domain/host"
	looks    int
	err      error
}

func (c *counter) set(name string, sessions int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions[name] = sessions
}

func (c *counter) Servers(_ context.Context, domains ...string) ([]haproxy.ServerStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looks++
	var servers []haproxy.ServerStatus
	for name, n := range c.sessions {
		domain, host, _ := strings.Cut(name, "/")
		if slices.Contains(domains, domain) {
			servers = append(servers, haproxy.ServerStatus{Domain: domain, Name: host, Sessions: n})
		}
	}
	return servers, c.err
}

// reportsOf collects what the agent reports.
func reportsOf(t *testing.T, i inn, c *counter) *[]registry.AgentReport {
	t.Helper()
	i.haproxy.change(func() { i.haproxy.viewer = c })
	return reportsFrom(t, i)
}

func reportsFrom(t *testing.T, i inn) *[]registry.AgentReport {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	out := make(chan registry.AgentReport)
	var all []registry.AgentReport
	var running stdsync.WaitGroup
	running.Go(func() { i.Report(ctx, "v1", out) })
	running.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case r := <-out:
				all = append(all, r)
			}
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return &all
}

// reported is a registry of one host at a revision.
func reported(revision registry.Revision, state registry.HostState) registry.Snapshot {
	return registry.Snapshot{Prefix: "/services/web", Revision: revision, Changed: revision, Keys: 2, Domains: []*registry.Domain{
		{Name: "a.abc.com", Hosts: []registry.Host{
			{Name: "s1", Addr: netip.MustParseAddrPort("10.0.0.1:80"), Weight: int(revision)%200 + 1, State: state},
			{Name: "s2", Addr: netip.MustParseAddrPort("10.0.0.2:80"), Weight: 1, State: registry.Ready},
		}},
	}}
}

func runningMemory() *fake {
	return &fake{caps: haproxy.CapabilitiesOf(haproxy.Version{Major: 3, Minor: 2})}
}

func TestReportsComeAtOnceAndAtMostOnceASecond(t *testing.T) {
	inBubble(t, runningMemory(), func(t *testing.T, i inn) {
		all := reportsOf(t, i, &counter{})
		i.registry.tell(reported(1, registry.Ready))
		elapse(10 * time.Millisecond)
		if len(*all) != 1 || (*all)[0].Applied != 1 || (*all)[0].HAProxy != "3.2" || (*all)[0].Hapsync != "v1" {
			t.Fatalf("got %+v", *all)
		}
		for n := range 500 { // in 5 s
			i.registry.change(reported(registry.Revision(2+n), registry.Ready), "a.abc.com")
			elapse(10 * time.Millisecond)
		}
		elapse(time.Second)
		if n := len(*all); n < 5 || n > 8 {
			t.Errorf("%d reports of 500 changes in 6 s", n)
		}
		if last := (*all)[len(*all)-1]; last.Applied != 501 || last.Heard != 501 || last.BehindSeconds != 0 {
			t.Errorf("the last report is %+v", last)
		}
		n := len(*all)
		later := reported(501, registry.Ready)
		for r := range 100 { // others write to etcd, and all is read again
			later.Revision = registry.Revision(600 + r)
			i.registry.tell(later)
			elapse(time.Minute)
		}
		if len(*all) != n {
			t.Errorf("reported though nothing has changed: %+v", (*all)[n:])
		}
	})
}

func TestReportNamesWhatIsHeldBack(t *testing.T) {
	inBubble(t, runningMemory(), func(t *testing.T, i inn) {
		all := reportsOf(t, i, &counter{})
		i.registry.tell(reported(1, registry.Ready))
		elapse(2 * time.Second)
		i.registry.tell(registry.Snapshot{Prefix: "/services/web", Revision: 2, Changed: 2})
		elapse(10 * time.Second)
		if last := (*all)[len(*all)-1]; last.Held == "" || last.Applied != 1 || last.Heard != 2 || last.BehindSeconds == 0 {
			t.Errorf("the last report is %+v", last)
		}
	})
}

func TestReportSaysNowAndThenForHowLongTheAgentIsBehind(t *testing.T) {
	inBubble(t, runningMemory(), func(t *testing.T, i inn) {
		all := reportsOf(t, i, &counter{})
		i.registry.tell(reported(1, registry.Ready))
		elapse(2 * time.Second)
		i.registry.tell(registry.Snapshot{Prefix: "/services/web", Revision: 2, Changed: 2}) // is held
		behind := time.Now()
		elapse(10 * time.Minute)
		held := (*all)[1:]
		for n, r := range held {
			took := r.Time.Sub(behind).Seconds()
			if r.Held == "" || r.BehindSeconds != took {
				t.Errorf("after %.0f s it has said %+v", took, r)
			}
			if n > 0 && took-held[n-1].BehindSeconds > max(held[n-1].BehindSeconds, 5)+statusInterval.Seconds() {
				t.Errorf("silent from %.0f s to %.0f s", held[n-1].BehindSeconds, took)
			}
		}
		if n := len(held); n < 10 || n > 16 || held[n-1].BehindSeconds < 500 {
			t.Errorf("%d reports in ten minutes, the last after %.0f s", n, held[n-1].BehindSeconds)
		}
	})
}

func TestReportHasTheSessionsThatWereLeftAfterTheRevisionWasApplied(t *testing.T) {
	inBubble(t, runningMemory(), func(t *testing.T, i inn) {
		c := &counter{sessions: map[string]int{"a.abc.com/s1": 3, "a.abc.com/s2": 4}}
		all := reportsOf(t, i, c)
		last := func() registry.AgentReport { return (*all)[len(*all)-1] }
		i.registry.tell(reported(1, registry.Ready))
		elapse(2 * time.Second)
		i.registry.change(reported(2, registry.Drain), "a.abc.com")
		elapse(2 * time.Second)
		for _, r := range *all {
			if r.Applied == 2 && fmt.Sprint(r.Leaving) != "[{a.abc.com s1 3}]" {
				t.Errorf("of revision 2 it says %+v", r)
			}
		}
		n := len(*all)
		c.set("a.abc.com/s1", 2) // no news
		elapse(5 * time.Second)
		if len(*all) != n {
			t.Errorf("%d reports more of the number of sessions", len(*all)-n)
		}
		c.set("a.abc.com/s1", 0)
		elapse(2 * time.Second)
		if len(last().Leaving) != 0 || last().Applied != 2 {
			t.Errorf("the last report is %+v", last())
		}
		looks := c.looks
		elapse(time.Hour)
		if more := c.looks - looks; more > 0 {
			t.Errorf("%d looks at a server without sessions", more)
		}
		c.mu.Lock()
		c.err = errors.New("no answer")
		c.mu.Unlock()
		i.registry.change(reported(3, registry.Maint), "a.abc.com")
		elapse(2 * time.Second)
		if last().Unknown != "no answer" {
			t.Errorf("the last report is %+v", last())
		}
	})
}

func TestReportCountsWhatItLeavesOutAndDoesNotName(t *testing.T) {
	s := Status{prefix: "/s"}
	for i := range maxLeftOut + 7 {
		p := registry.Problem{Key: fmt.Sprintf("/s/d%d.abc.com/s1/ip", i), Domain: fmt.Sprintf("d%d.abc.com", i), Host: "s1"}
		s.Last.Problems = append(s.Last.Problems, p, p) // two of one host count once
	}
	if r := new(sessionCounter).report(s); len(r.LeftOut) != maxLeftOut || r.LeftOutMore != 7 {
		t.Errorf("it names %d and counts %d more, want %d and 7", len(r.LeftOut), r.LeftOutMore, maxLeftOut)
	}
}

func TestAReportNamesHalfWrittenHosts(t *testing.T) {
	inBubble(t, runningMemory(), func(t *testing.T, i inn) {
		all := reportsOf(t, i, &counter{})
		half := reported(1, registry.Ready)
		for n := range maxLeftOut + 3 {
			half.Domains[0].Pending = append(half.Domains[0].Pending, registry.Pending{Host: fmt.Sprintf("p%03d", n), Missing: "port"})
		}
		i.registry.tell(half)
		elapse(2 * time.Second)
		if last := (*all)[len(*all)-1]; len(last.Pending) != maxLeftOut || last.PendingMore != 3 || last.Pending[0] != "a.abc.com/p000: port is missing" {
			t.Errorf("%d more than %q", last.PendingMore, last.Pending)
		}
		i.registry.change(reported(2, registry.Ready), "a.abc.com")
		elapse(2 * time.Second)
		if last := (*all)[len(*all)-1]; len(last.Pending) > 0 || last.PendingMore > 0 || last.Applied != 2 {
			t.Errorf("they are whole now: %+v", last)
		}
	})
}
