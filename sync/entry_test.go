package sync

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// since is what was logged and entered since the last call, without what differs from run to run.
func (i inn) since() (lines []string, entries []string) {
	synctest.Wait()
	varying := regexp.MustCompile(`time=\S+ level=|took=\S+ ?| runtime=\d+ .*`)
	text, kept := i.logged.take()
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(varying.ReplaceAllString(strings.TrimSpace(line), "")))
	}
	for _, e := range kept {
		text := fmt.Sprintf("%d by %s: %s", e.Revision, e.By, e.Summary())
		for _, c := range e.Changes {
			text += ", " + string(c.Via) + " " + c.String()
		}
		for _, why := range slices.Concat(e.Reload, []string{e.Held, e.Error}) {
			if why != "" {
				text += "; " + why
			}
		}
		entries = append(entries, text)
	}
	return lines, entries
}

func (i inn) tells(t *testing.T, lines, entries []string) {
	t.Helper()
	gotLines, gotEntries := i.since()
	if !slices.Equal(gotLines, lines) {
		t.Errorf("logged\n%s\nwant\n%s", strings.Join(gotLines, "\n"), strings.Join(lines, "\n"))
	}
	if !slices.Equal(gotEntries, entries) {
		t.Errorf("entered\n%s\nwant\n%s", strings.Join(gotEntries, "\n"), strings.Join(entries, "\n"))
	}
}

// follows is an agent that has seen the registry, of which HAProxy has everything.
func (i inn) follows(t *testing.T, s registry.Snapshot) {
	t.Helper()
	i.registry.tell(s)
	i.tells(t, nil, nil)
}

func TestAChangeIsToldWithWhatWasAndWhatIs(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.follows(t, twoDomains())
		moved := revised(twoDomains(), 900)
		moved.Domains[0].Hosts = slices.Clone(moved.Domains[0].Hosts)
		moved.Domains[0].Hosts[0].Addr = netip.MustParseAddrPort("10.0.0.1:10002")
		i.registry.change(moved, "a.abc.com")
		i.tells(t, []string{
			"INFO msg=changed server=a.abc.com/server1 have=10.0.0.1:10000 want=10.0.0.1:10002 via=runtime revision=900",
			"INFO msg=synced revision=900 by=watch",
		}, []string{"900 by watch: runtime=1 reload=0, runtime ~ server a.abc.com/server1 10.0.0.1:10000 -> 10.0.0.1:10002"})
		elapse(2 * fileDelay)
		i.tells(t, []string{"INFO msg=filed revision=900 changes=1"},
			[]string{"900 by watch: transaction=1 reload=0, transaction ~ server a.abc.com/server1 10.0.0.1:10000 -> 10.0.0.1:10002"})
		i.registry.change(revised(moved, 901, domain("new", host("s", "10.0.0.9:80"))), "new")
		i.tells(t, []string{
			`INFO msg=added backend=new want="balance roundrobin" via=transaction revision=901`,
			`INFO msg=added server=new/s want="10.0.0.9:80 cookie s" via=transaction revision=901`,
			"INFO msg=added rule=new via=transaction revision=901",
			"INFO msg=synced revision=901 by=watch",
		}, []string{"901 by watch: transaction=3 reload=1, transaction + backend new balance roundrobin, transaction + server new/s 10.0.0.9:80 cookie s, " +
			"transaction + rule new in webin; new domain: new (the rules of a running process cannot change)"})
	})
}

func TestWhoAskedIsTold(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(registry.Snapshot{Keys: 1}, v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		_, entries := i.since()
		i.haproxy.change(func() { i.haproxy.live.Backends[0].Servers[0].Addr = netip.MustParseAddrPort("10.6.6.6:6") })
		elapse(2 * defaultResync)
		_, drift := i.since()
		i.haproxy.change(func() { i.haproxy.live.Backends[0].Servers[0].Addr = netip.MustParseAddrPort("10.6.6.6:6") })
		i.Resync()
		_, hand := i.since()
		for want, got := range map[string][]string{"812 by resync: ": entries, "812 by drift: ": drift, "812 by hand: ": hand} {
			if len(got) != 1 || !strings.HasPrefix(got[0], want) {
				t.Errorf("%q, want %s", got, want)
			}
		}
	})
}

func TestManyChangesAreToldInSoManyLines(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(registry.Snapshot{Keys: 1}, v32), func(t *testing.T, i inn) {
		s := registry.Snapshot{Revision: 7, Keys: 1}
		for n := range 100 {
			s.Domains = append(s.Domains, domain(fmt.Sprintf("d%04d", n), host("s", "10.0.0.1:80")))
		}
		i.registry.tell(s)
		lines, entries := i.since()
		if len(lines) != loggedChanges+2 || lines[loggedChanges] != `INFO msg="and more changes: hapsync history shows them" more=250 revision=7` {
			t.Errorf("%d lines: %s", len(lines), lines[len(lines)-1])
		}
		if shown := i.Status().Passes[0]; strings.Count(entries[0], ", transaction + ") != 300 || len(shown.Changes) != loggedChanges || shown.More != 250 {
			t.Errorf("%d changes in the status, and %d more; %s", len(shown.Changes), shown.More, entries[0])
		}
	})
}

func TestAnEntryHoldsOnlySoManyChanges(t *testing.T) {
	t.Parallel()
	var r Report
	for range maxChanges + 7 {
		r.Plan.Actions = append(r.Plan.Actions, Action{ViaRuntime, haproxy.RemoveServer{}})
	}
	if e := r.Entry(nil, time.Second); len(e.Changes) != maxChanges || e.More != 7 || e.Summary() != "runtime=10007 reload=0" {
		t.Errorf("%d changes and %d more, %s", len(e.Changes), e.More, e.Summary())
	}
}

func TestWhatStandsIsToldWhenItComesAndWhenItGoes(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	busy := true
	m.lingers = func(haproxy.RemoveServer) bool { return busy }
	inBubble(t, m, func(t *testing.T, i inn) {
		i.follows(t, twoDomains())
		bad := revised(twoDomains(), 900)
		bad.Problems = []registry.Problem{{Key: "/services/web/a.abc.com/x/port", Reason: "bad", Domain: "a.abc.com"}}
		bad.Domains[0].Pending = []registry.Pending{{Host: "web9", Missing: "port"}}
		bad.Domains[0].Hosts = bad.Domains[0].Hosts[:1]
		i.registry.change(bad, "a.abc.com")
		i.tells(t, []string{
			`INFO msg=removed server=a.abc.com/server2 have="10.0.0.1:10001 cookie server2" want=draining via=runtime revision=900`,
			"INFO msg=synced revision=900 by=watch",
			"WARN msg=problem key=/services/web/a.abc.com/x/port reason=bad",
			`INFO msg=pending host=a.abc.com/web9 reason="port is missing"`,
			"INFO msg=draining server=a.abc.com/server2",
		}, []string{"900 by watch: runtime=1 reload=0, runtime - server a.abc.com/server2 draining"})
		i.onSocket(func(s *haproxy.Server) { s.State = haproxy.Maint })
		elapse(2 * defaultResync)
		i.tells(t, []string{
			`WARN msg=override server=a.abc.com/server1 reason="maint on HAProxy's socket, ready in the registry"`,
			"INFO msg=filed revision=900 changes=1",
		}, []string{"900 by watch: transaction=1 reload=0, transaction - server a.abc.com/server2"})
		i.onSocket(func(s *haproxy.Server) { s.State = haproxy.Ready })
		i.haproxy.change(func() { busy = false })
		good := revised(twoDomains(), 901)
		good.Domains[0].Hosts = good.Domains[0].Hosts[:1]
		i.registry.change(good, "a.abc.com")
		elapse(2 * defaultResync)
		i.tells(t, []string{
			`INFO msg=removed server=a.abc.com/server2 have="10.0.0.1:10001 cookie server2 drain" via=runtime revision=901`,
			"INFO msg=synced revision=901 by=watch",
			"INFO msg=\"no problem any more\" key=/services/web/a.abc.com/x/port",
			"INFO msg=\"pending no more\" host=a.abc.com/web9",
			"INFO msg=\"no override any more\" server=a.abc.com/server1",
			"INFO msg=drained server=a.abc.com/server2",
		}, []string{"901 by watch: runtime=1 reload=0, runtime - server a.abc.com/server2"})
	})
}

func TestAHoldIsToldOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.follows(t, twoDomains())
		i.registry.tell(registry.Snapshot{Revision: 900})
		elapse(time.Minute)
		lines, entries := i.since()
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "WARN msg=held reason=") || len(entries) != 1 || !strings.HasPrefix(entries[0], "900 by resync: ") {
			t.Errorf("%q, %q", lines, entries)
		}
		i.registry.tell(registry.Snapshot{Revision: 901, Keys: 1})
		elapse(time.Minute)
		if lines, _ = i.since(); len(lines) != 1 || !strings.HasPrefix(lines[0], `WARN msg="still held" reason=`) {
			t.Errorf("with another reason: %q", lines)
		}
		i.registry.tell(revised(twoDomains(), 902))
		if lines, entries = i.since(); len(lines) != 1 || !strings.HasPrefix(lines[0], `INFO msg="held no more" reason=`) || len(entries) != 0 {
			t.Errorf("%q, %q", lines, entries)
		}
	})
}

func TestAFailureThatStaysIsEnteredOnce(t *testing.T) {
	t.Parallel()
	m := inLine(registry.Snapshot{Keys: 1}, v32)
	m.failReload = 100
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		elapse(2 * time.Minute)
		_, entries := i.since()
		if len(entries) != 1 || !strings.Contains(entries[0], "haproxy refuses to reload") {
			t.Errorf("%d entries: %q", len(entries), entries)
		}
	})
}

func TestAnEntryWithoutAReloadHasNoReasons(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Report{}.Entry(nil, time.Second))
	if err != nil || !strings.Contains(string(text), `"changes":[],"reload":[],`) {
		t.Errorf("%s, %v", text, err)
	}
}

// An interrupted process is read while the agent is told to end.
type interrupted struct{ Process }

func (interrupted) State(context.Context, haproxy.Scope) (haproxy.State, error) {
	return haproxy.State{}, fmt.Errorf("connect to /run/haproxy.sock: %w", context.Canceled)
}

func TestThatAnAgentEndsIsNoFailure(t *testing.T) {
	t.Parallel()
	set := func(cfg *AgentConfig) { cfg.Process = interrupted{cfg.Process} }
	inBubbleWith(t, inLine(twoDomains(), v32), set, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		if lines, entries := i.since(); len(lines)+len(entries) > 0 {
			t.Errorf("logged %q, entered %q", lines, entries)
		}
	})
}

func TestARemovedBackendIsToldOfWhenItIsGone(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v34)
	busy := true
	m.lingers = func(haproxy.RemoveServer) bool { return busy }
	m.grows, m.added = true, map[string]bool{"b.abc.com_cluster": true}
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		elapse(time.Second)
		i.since()
		one := revised(twoDomains(), 900)
		one.Domains = one.Domains[:1]
		i.registry.change(one, "b.abc.com")
		elapse(2 * defaultResync)
		lines, _ := i.since()
		if all := strings.Join(lines, "\n"); strings.Contains(all, "msg=removed backend=b.abc.com via=runtime") || strings.Count(all, "want=draining via=runtime") != 1 {
			t.Errorf("while it drains, logged\n%s", all)
		}
		i.haproxy.change(func() { busy = false })
		elapse(2 * defaultResync)
		lines, entries := i.since()
		if all := strings.Join(append(lines, entries...), "\n"); strings.Count(all, "msg=removed backend=b.abc.com via=runtime") != 1 || strings.Count(all, "runtime - backend b.abc.com") != 1 {
			t.Errorf("when it is gone, logged\n%s", all)
		}
	})
}

// A cutOff process makes changes, and is not read after them, as the agent is told to end.
type cutOff struct {
	*guarded
	ran bool
}

func (c *cutOff) Run(ctx context.Context, changes []haproxy.Change) (haproxy.Outcome, error) {
	c.ran = true
	return c.guarded.Run(ctx, changes)
}

func (c *cutOff) Cached(scope haproxy.Scope) (haproxy.State, bool) {
	if c.ran {
		return haproxy.State{}, false
	}
	return c.guarded.Cached(scope)
}

func (c *cutOff) State(ctx context.Context, scope haproxy.Scope) (haproxy.State, error) {
	if c.ran {
		return interrupted{}.State(ctx, scope)
	}
	return c.guarded.State(ctx, scope)
}

func TestWhatAnAgentChangesAsItEndsIsTold(t *testing.T) {
	t.Parallel()
	inBubbleWith(t, inLine(twoDomains(), v32), func(cfg *AgentConfig) {
		cfg.Process = &cutOff{guarded: cfg.Process.(*guarded)} //nolint:forcetypeassert // the bubble's own
	}, func(t *testing.T, i inn) {
		i.follows(t, twoDomains())
		i.registry.change(moved(900, 7), "b.abc.com")
		i.tells(t, []string{
			"INFO msg=changed server=b.abc.com/server1 have=10.0.0.2:12345 want=10.0.0.2:7 via=runtime revision=900",
			"INFO msg=synced revision=900 by=watch",
		}, []string{"900 by watch: runtime=1 reload=0, runtime ~ server b.abc.com/server1 10.0.0.2:12345 -> 10.0.0.2:7"})
	})
}
