package sync

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A stage is a comparison with a registry and a HAProxy of values: "a.abc.com/s1=1" is a host at 10.0.0.1:1.
type stage struct {
	c        *comparison
	now      time.Time
	revision registry.Revision
	want     haproxy.Config
	have     haproxy.Config
	told     []string
}

// configOf is what a registry with these hosts asks for.
func configOf(hosts ...string) haproxy.Config {
	by := map[string][]registry.Host{}
	for _, line := range hosts {
		path, port, _ := strings.Cut(line, "=")
		name, server, _ := strings.Cut(path, "/")
		by[name] = append(by[name], host(server, "10.0.0.1:"+port))
	}
	var s registry.Snapshot
	for name, all := range by {
		s.Domains = append(s.Domains, domain(name, all...))
	}
	c, _ := layout.Desired(s, haproxy.State{})
	return c
}

func newStage(hosts ...string) *stage {
	s := &stage{c: newComparison(), now: time.Unix(1_000_000, 0), revision: 10, want: configOf(hosts...), have: configOf(hosts...)}
	s.look()
	return s
}

// asks is a change of the registry.
func (s *stage) asks(hosts ...string) {
	s.revision++
	s.want = configOf(hosts...)
	s.c.update(s.revision, clone(s.c.want), s.want, s.now)
}

// has is what the other tool makes of HAProxy.
func (s *stage) has(hosts ...string) { s.have = configOf(hosts...) }

func (s *stage) look() {
	for _, n := range s.c.observe(observation{s.now, wanted{file: s.want, process: s.want}, s.have, s.have, nil}) {
		s.told = append(s.told, fmt.Sprintf("%s %s/%s", n.kind, n.change.Domain(), n.change.Key().Name))
	}
}

// after lets time pass, with a look every two seconds.
func (s *stage) after(d time.Duration) {
	for ; d > 0; d -= 2 * time.Second {
		s.now = s.now.Add(min(d, 2*time.Second))
		s.look()
	}
}

// tells fails the test unless just these have come since the last time.
func (s *stage) tells(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), append([]string{}, s.told...)); diff != "" {
		t.Errorf("news (-want +got):\n%s", diff)
	}
	s.told = nil
}

// stands fails the test unless just these changes are pending, each with its state.
func (s *stage) stands(t *testing.T, want ...string) {
	t.Helper()
	got := []string{}
	for _, p := range s.c.pending {
		got = append(got, fmt.Sprintf("%s %s/%s", p.state, p.change.Domain(), p.change.Key().Name))
	}
	slices.Sort(got)
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
}

func TestAComparisonTellsApart(t *testing.T) {
	t.Parallel()
	const a, b = "a.abc.com/s1", "b.abc.com/s1"
	for name, story := range map[string]func(t *testing.T, s *stage){
		"the same change, a little later": func(t *testing.T, s *stage) {
			s.asks(a+"=2", b+"=1")
			s.look()
			s.tells(t, "would "+a)
			s.after(10 * time.Second)
			s.has(a+"=2", b+"=1")
			s.look()
			s.tells(t, "same "+a)
			s.stands(t)
		},
		"a change that the other tool has made before the look": func(t *testing.T, s *stage) {
			s.asks(a+"=2", b+"=1")
			s.has(a+"=2", b+"=1")
			s.look()
			s.tells(t, "same "+a)
		},
		"a change that the other tool has made before the registry told of it": func(t *testing.T, s *stage) {
			s.has(a+"=2", b+"=1")
			s.look()
			s.stands(t, "waiting "+a)
			s.asks(a+"=2", b+"=1")
			s.look()
			s.tells(t, "same "+a)
		},
		"a revision that the other tool skips": func(t *testing.T, s *stage) {
			s.asks(a+"=2", b+"=1")
			s.look()
			s.asks(a+"=3", b+"=1")
			s.look()
			s.tells(t, "would "+a, "would "+a)
			s.has(a+"=3", b+"=1")
			s.after(time.Minute)
			s.tells(t, "same "+a)
			s.stands(t)
		},
		"a tool that is two revisions behind": func(t *testing.T, s *stage) {
			s.asks(a+"=2", b+"=1")
			s.asks(a+"=3", b+"=2")
			s.has(a+"=2", b+"=1")
			s.after(10 * time.Minute)
			s.stands(t, "unanswered "+a, "unanswered "+b)
			if s.c.differed > 0 {
				t.Error("it differs")
			}
			s.has(a+"=3", b+"=2")
			s.look()
			s.stands(t)
			if s.c.agreed != 2 {
				t.Errorf("%d are the same, want 2", s.c.agreed)
			}
		},
		"a tool that is away for an hour": func(t *testing.T, s *stage) {
			s.asks(a+"=2", b+"=1")
			s.after(10 * time.Second)
			s.stands(t, "waiting "+a)
			s.after(time.Hour)
			s.stands(t, "unanswered "+a)
			s.tells(t, "would "+a, "unanswered "+a)
			s.has(a+"=2", b+"=1")
			s.look()
			s.tells(t, "same "+a)
		},
		"a registry that flaps, and comes back to what HAProxy has": func(t *testing.T, s *stage) {
			for range 20 {
				s.asks(a+"=2", b+"=1")
				s.look()
				s.asks(a+"=1", b+"=1")
				s.after(2 * time.Second)
			}
			s.stands(t)
			if s.c.agreed+s.c.differed > 0 {
				t.Errorf("%d are the same, %d differ", s.c.agreed, s.c.differed)
			}
		},
		"a registry that flaps, and a tool that comes late each time": func(t *testing.T, s *stage) {
			for range 20 {
				s.asks(a+"=2", b+"=1")
				s.after(2 * time.Second)
				s.asks(a+"=1", b+"=1")
				s.has(a+"=2", b+"=1")
				s.after(8 * time.Second)
				s.has(a+"=1", b+"=1")
				s.after(2 * time.Second)
			}
			s.stands(t)
			if s.c.differed > 0 {
				t.Error("it differs")
			}
		},
		"a host that is ignored": func(t *testing.T, s *stage) {
			s.asks(a+"=1", a+"2=1", b+"=1")
			s.after(time.Minute)
			s.stands(t, "unanswered a.abc.com/s12")
			s.asks(a+"=1", a+"2=1", b+"=2")
			s.look()
			s.has(a+"=1", b+"=2")
			s.look()
			s.stands(t, "waiting a.abc.com/s12")
			s.told = nil
			s.after(shadowPatience)
			s.tells(t, "different a.abc.com/s12")
			s.stands(t, "different a.abc.com/s12")
			s.after(time.Hour)
			s.tells(t)
			s.has(a+"=1", a+"2=1", b+"=2")
			s.look()
			s.tells(t, "settled a.abc.com/s12")
			if s.c.differed != 1 || s.c.agreed != 1 {
				t.Errorf("%d are the same, %d differ, want 1 and 1", s.c.agreed, s.c.differed)
			}
		},
		"a value that the registry has never asked for": func(t *testing.T, s *stage) {
			s.asks(a+"=2", b+"=1")
			s.look()
			s.has(a+"=9", b+"=1")
			s.after(shadowPatience + 2*time.Second)
			s.tells(t, "would "+a, "different "+a)
		},
		"a change that only the other tool makes": func(t *testing.T, s *stage) {
			s.has(a+"=1", b+"=1", "c.abc.com/s1=1")
			s.look()
			s.tells(t)
			s.after(shadowPatience + 2*time.Second)
			if got := strings.Join(s.told, " "); !strings.Contains(got, "different c.abc.com/s1") || strings.Contains(got, a) {
				t.Errorf("told %s", got)
			}
		},
		"a change that the other tool takes back": func(t *testing.T, s *stage) {
			s.has(a+"=9", b+"=1")
			s.after(4 * time.Second)
			s.has(a+"=1", b+"=1")
			s.after(time.Minute)
			s.tells(t)
			s.stands(t)
		},
		"a tool that goes back to what was asked for before": func(t *testing.T, s *stage) {
			s.asks(a+"=2", b+"=1")
			s.has(a+"=2", b+"=1")
			s.look()
			s.has(a+"=1", b+"=1")
			s.after(shadowPatience + 4*time.Second)
			s.tells(t, "same "+a, "different "+a)
		},
		"a HAProxy that is away in between": func(t *testing.T, s *stage) {
			s.asks(a+"=1", a+"2=1", b+"=2")
			s.has(a+"=1", b+"=2")
			s.after(4 * time.Second)
			s.c.resetClocks()
			s.now = s.now.Add(time.Hour)
			s.look()
			s.stands(t, "waiting a.abc.com/s12")
			s.after(shadowPatience)
			s.stands(t, "different a.abc.com/s12")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, newStage(a+"=1", b+"=1"))
		})
	}
}

func TestADifferenceFromTheStartIsNoVerdictUntilTheOtherToolActs(t *testing.T) {
	t.Parallel()
	s := &stage{c: newComparison(), now: time.Unix(1_000_000, 0), revision: 10, want: configOf("a.abc.com/s1=1", "b.abc.com/s1=1"), have: configOf("a.abc.com/s1=7", "b.abc.com/s1=1")}
	s.after(time.Minute)
	s.tells(t, "would a.abc.com/s1", "unanswered a.abc.com/s1")
	s.asks("a.abc.com/s1=1", "b.abc.com/s1=2")
	s.has("a.abc.com/s1=7", "b.abc.com/s1=2")
	s.after(time.Minute)
	s.tells(t, "same b.abc.com/s1", "different a.abc.com/s1")
}

func TestAProcessThatHasNotLoadedTheFileDiffersInTheEnd(t *testing.T) {
	t.Parallel()
	s := newStage("a.abc.com/s1=1")
	s.asks("a.abc.com/s1=2")
	take := func() {
		s.c.observe(observation{s.now, wanted{file: s.want, process: s.want}, s.have, configOf("a.abc.com/s1=1"), nil})
	}
	s.has("a.abc.com/s1=2")
	take()
	s.stands(t, "waiting a.abc.com/s1")
	s.now = s.now.Add(shadowPatience)
	take()
	s.stands(t, "different a.abc.com/s1")
}

// drawHosts draws a registry near to another one.
func drawHosts(t *rapid.T, hosts map[string]string) map[string]string {
	next := map[string]string{}
	for path, port := range hosts {
		next[path] = port
	}
	for range rapid.IntRange(1, 2).Draw(t, "changes") {
		path := rapid.SampledFrom([]string{"a.abc.com", "b.abc.com", "c.abc.com"}).Draw(t, "domain") + "/" + rapid.SampledFrom([]string{"s1", "s2"}).Draw(t, "host")
		if port := rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, "port"); port == "" {
			delete(next, path)
		} else {
			next[path] = port
		}
	}
	return next
}

func lines(hosts map[string]string, ignored string) (all []string) {
	for path, port := range hosts {
		if path != ignored {
			all = append(all, path+"="+port)
		}
	}
	slices.Sort(all)
	return all
}

// play lets a registry change, and a tool follow it that is late, skips revisions, and leaves out one host. It returns the hosts as they
// were last.
func play(t *rapid.T, s *stage, ignored string) map[string]string {
	revisions, reached := []map[string]string{{"a.abc.com/s1": "1", "b.abc.com/s1": "1"}}, 0
	for range rapid.IntRange(1, 40).Draw(t, "steps") {
		switch rapid.IntRange(0, 4).Draw(t, "what") {
		case 0, 1:
			revisions = append(revisions, drawHosts(t, revisions[len(revisions)-1]))
			s.asks(lines(revisions[len(revisions)-1], "")...)
		case 2:
			reached = rapid.IntRange(reached, len(revisions)-1).Draw(t, "reached")
			s.has(lines(revisions[reached], ignored)...)
		case 3:
			s.after(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
		case 4:
			s.look()
		}
	}
	last := revisions[len(revisions)-1]
	s.has(lines(last, ignored)...)
	return last
}

func TestAToolThatFollowsNeverDiffersHoweverLate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newStage("a.abc.com/s1=1", "b.abc.com/s1=1")
		play(t, s, "")
		s.after(time.Minute)
		if s.c.differed > 0 || len(s.c.pending) > 0 {
			t.Fatalf("%d differ, %d are pending: %q", s.c.differed, len(s.c.pending), s.told)
		}
	})
}

func TestAHostThatIsLeftOutIsTheOnlyDifference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newStage("a.abc.com/s1=1", "b.abc.com/s1=1")
		const ignored = "b.abc.com/s2"
		last := play(t, s, ignored)
		s.look()
		last["d.org/s1"] = "1" // what the tool acts on shows that it has seen all before
		s.asks(lines(last, "")...)
		s.has(lines(last, ignored)...)
		s.after(2 * shadowPatience)
		for _, p := range s.c.pending {
			if name := p.change.Domain() + "/" + p.change.Key().Name; p.state != ShadowDiffers || p.change.Domain() != "b.abc.com" {
				t.Fatalf("%s is %s: %q", name, p.state, s.told)
			}
		}
		_, asked := last[ignored]
		if asked != (len(s.c.pending) > 0) {
			t.Fatalf("%d are pending, asked for: %t: %q", len(s.c.pending), asked, s.told)
		}
	})
}
