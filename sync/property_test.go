package sync

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hapsync/hapsync/haproxy"
)

var layout = Layout{Frontends: []string{"webin"}}

// drawLayout draws which hosts the rules of the frontend take, and how these lead to backends.
func drawLayout(t *rapid.T) Layout {
	l := layout
	l.HostMatch = rapid.SampledFrom([]HostMatch{MatchAuto, MatchAuto, MatchExact, MatchAnyPort}).Draw(t, "match")
	l.Routing = rapid.SampledFrom([]Routing{RoutingACL, RoutingMap}).Draw(t, "routing")
	return l
}

func newSyncer(t interface{ Fatal(...any) }, s source, m *fake, policy Policy) *Syncer {
	syncer, err := New(Config{Source: s, Process: m, File: m, Layout: layout, Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	return syncer
}

func TestOnePassBringsAnyHAProxyInLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawMemory(t, drawLayout(t))
		s := source{snapshot: drawSnapshot(t)}
		syncer, err := New(Config{Source: s, Process: m, File: m, Layout: drawLayout(t), Policy: Policy{AllowMassRemoval: true}})
		if err != nil {
			t.Fatal(err)
		}
		planned, err := syncer.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done, err := syncer.Sync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(planned.Plan.Actions, done.Plan.Actions) || !slices.Equal(planned.Plan.Reload, done.Plan.Reload) {
			t.Fatal("sync did not do what plan said")
		}
		if want := min(1, len(done.Plan.Reload)); m.reloads != want {
			t.Fatalf("%d reloads for %q", m.reloads, done.Plan.Reload)
		}
		if m.edits+m.rewrites > 1 {
			t.Fatalf("the file was written %d times", m.edits+m.rewrites)
		}
		names := map[string]string{}
		for _, b := range m.file.Backends {
			domain, _ := haproxy.DomainOf(b.Name)
			if d, _ := domainOf(s.snapshot, domain); b.Options.Names != d.Options.Aliases {
				continue // what the file had of a domain in a bad state
			}
			for _, name := range strings.Fields(b.Options.Names) {
				if other := names[name]; other != "" {
					t.Fatalf("%s leads to %s and %s", name, other, b.Name)
				}
				names[name] = b.Name
			}
		}
		before := *m
		again, err := syncer.Sync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !again.Plan.Empty() {
			t.Fatalf("the second pass would still do %v, reload for %q", again.Plan.Actions, again.Plan.Reload)
		}
		if m.commands != before.commands || m.edits+m.rewrites != before.edits+before.rewrites || m.reloads != before.reloads {
			t.Fatal("the second pass did something")
		}
	})
}

func TestAPassComesThroughWhatTheProcessRefuses(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawMemory(t, layout)
		refused := rapid.SliceOfN(rapid.Bool(), 5, 5).Draw(t, "refused")
		n := 0
		m.stubborn = func(c haproxy.Change) bool {
			n++
			_, removal := c.(haproxy.RemoveServer)
			return refused[n%len(refused)] && !removal
		}
		syncer := newSyncer(t, source{snapshot: drawSnapshot(t)}, m, Policy{AllowMassRemoval: true})
		if _, err := syncer.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m.reloads > 1 {
			t.Fatalf("%d reloads in one pass", m.reloads)
		}
		m.stubborn = nil
		report, err := syncer.Plan(t.Context())
		if err != nil || !report.Plan.Empty() {
			t.Fatalf("not in line: %v %v", report.Plan, err)
		}
	})
}

func TestARefusedDomainHoldsBackNoOther(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawMemory(t, layout)
		bad := rapid.SampledFrom(domains).Draw(t, "bad")
		named := rapid.Bool().Draw(t, "named")
		was, had := backendOf(m.file, bad)
		m.refuses = func(c haproxy.Config) []string {
			now, has := backendOf(c, bad)
			if has == had && now.Options == was.Options && slices.Equal(now.Servers, was.Servers) {
				return nil
			}
			if named {
				return []string{bad}
			}
			return []string{""}
		}
		snapshot := drawSnapshot(t)
		syncer := newSyncer(t, source{snapshot: snapshot}, m, Policy{AllowMassRemoval: true})
		before, _ := m.State(t.Context(), haproxy.Everything())
		full, unclear := layout.Desired(snapshot, before)
		full = withoutTakenAliases(full, snapshot)
		report, err := syncer.Sync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range domains {
			want, wanted := backendOf(full, d)
			if d == bad {
				want, wanted = was, had
			}
			got, has := backendOf(m.file, d)
			if has != wanted || got.Options != want.Options || !slices.Equal(got.Servers, want.Servers) {
				t.Fatalf("%s is %v, wanted %v", d, got, want)
			}
		}
		wantBad, wanted := backendOf(full, bad)
		changed := wanted != had || wantBad.Options != was.Options || !slices.Equal(wantBad.Servers, was.Servers)
		if report.LeftOut() != (changed || len(unclear) > 0) {
			t.Fatalf("left out: %v, with %s changed: %v", report.Problems, bad, changed)
		}
	})
}

func TestDiffOfEqualsIsEmptyAndMakesBeforeItBreaks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		match := rapid.SampledFrom([]HostMatch{MatchAuto, MatchExact, MatchAnyPort})
		have, _ := Layout{Frontends: layout.Frontends, HostMatch: match.Draw(t, "had")}.Desired(drawSnapshot(t), haproxy.State{})
		want, _ := Layout{Frontends: layout.Frontends, HostMatch: match.Draw(t, "wants")}.Desired(drawSnapshot(t), haproxy.State{})
		if d := Diff(have, have); len(d) != 0 {
			t.Fatalf("a diff of equals: %v", d)
		}
		changes := Diff(have, want)
		if have.Equal(want) != (len(changes) == 0) {
			t.Fatalf("%d changes between %v and %v", len(changes), have, want)
		}
		if !slices.IsSortedFunc(changes, func(a, b haproxy.Change) int { return rank(a) - rank(b) }) {
			t.Fatalf("out of order: %v", changes)
		}
	})
}
