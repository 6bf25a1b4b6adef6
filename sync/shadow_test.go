package sync

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A shade is a shadow in a bubble of virtual time, with all it looks at.
type shade struct {
	*Shadow
	registry *script
	haproxy  *guarded
	logged   *tape
}

func inShade(t *testing.T, m *fake, f func(t *testing.T, s shade)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := shade{registry: newScript(), haproxy: &guarded{fake: m}, logged: new(tape)}
		shadow, err := NewShadow(ShadowConfig{
			Follower: s.registry, Looker: s.haproxy, Layout: layout,
			Logger: slog.New(slog.NewTextHandler(s.logged, nil)), Journal: s.logged.enter,
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Shadow = shadow
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- shadow.Run(ctx) }()
		defer func() {
			stop()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
		f(t, s)
		if m := s.haproxy.now(); m.commands+m.edits+m.rewrites > 0 || m.kept != nil {
			t.Errorf("it has sent %d commands and written the file %d times", m.commands, m.edits+m.rewrites)
		}
	})
}

// acts is what another tool makes of HAProxy: the whole file, and a reload.
func (s shade) acts(snapshot registry.Snapshot) {
	s.haproxy.change(func() {
		want, _ := layout.Desired(snapshot, haproxy.State{})
		s.haproxy.file, s.haproxy.live = clone(want), clone(want)
		s.haproxy.version++
		s.haproxy.reloads++
	})
}

// counts fails the test unless so many changes were made the same, differed and are pending.
func (s shade) counts(t *testing.T, agreed, differed, pending int) {
	t.Helper()
	st := s.Status()
	if sh := st.Shadow; sh.Agreed != agreed || sh.Differed != differed || len(sh.Changes) != pending || !st.Ready() {
		t.Errorf("%d are the same, %d differed, %+v are pending, not ready: %q", sh.Agreed, sh.Differed, sh.Changes, st.Reasons)
	}
}

// moved is the registry with another address of a host of a.abc.com.
func movedTo(revision registry.Revision, addr string) registry.Snapshot {
	s := twoDomains()
	s.Revision = revision
	s.Domains[0].Hosts[0].Addr = host("", addr).Addr
	return s
}

func TestAShadowFollowsWhatTheOtherToolDoes(t *testing.T) {
	t.Parallel()
	inShade(t, inLine(twoDomains(), v32), func(t *testing.T, s shade) {
		if s.Status().Ready() {
			t.Error("ready before anything was read")
		}
		s.registry.tell(twoDomains())
		elapse(time.Second)
		s.counts(t, 0, 0, 0)
		next := movedTo(813, "10.0.0.9:1")
		s.registry.change(next, "a.abc.com")
		elapse(time.Second)
		s.counts(t, 0, 0, 1)
		s.acts(next)
		elapse(pollInterval)
		s.counts(t, 1, 0, 0)
		text, entries := s.logged.take()
		for _, want := range []string{"would change", "made the same change"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not logged:\n%s", want, text)
			}
		}
		if len(entries) != 2 || entries[0].Shadow != WouldMake || entries[1].Shadow != Agreed || entries[0].Revision != 813 || len(s.Status().Passes) != 2 {
			t.Errorf("kept %+v", entries)
		}
		if st := s.Status(); st.Applied != 813 || st.Lag() != 0 {
			t.Errorf("applied %d, lag %s", st.Applied, st.Lag())
		}
	})
}

// TestAShadowKnowsWhatWasAskedForInBetween has the other tool come to what the registry asked for between two looks.
func TestAShadowKnowsWhatWasAskedForInBetween(t *testing.T) {
	t.Parallel()
	inShade(t, inLine(twoDomains(), v32), func(t *testing.T, s shade) {
		s.registry.tell(twoDomains())
		elapse(time.Second)
		between := movedTo(814, "10.0.0.9:2")
		s.registry.change(movedTo(813, "10.0.0.9:1"), "a.abc.com")
		s.registry.change(between, "a.abc.com")
		s.registry.change(movedTo(815, "10.0.0.9:3"), "a.abc.com")
		synctest.Wait() // else it may be seen before the last one is asked for
		s.acts(between)
		elapse(time.Hour)
		s.counts(t, 0, 0, 1)
		if c := s.Status().Shadow.Changes[0]; c.State != ShadowUnanswered || c.Revision != 815 {
			t.Errorf("%+v", c)
		}
	})
}

func TestAShadowDoesNotJudgeWhatItCannotSee(t *testing.T) {
	t.Parallel()
	for name, blind := range map[string]struct {
		comes, goes func(s shade)
		reason      string
	}{
		"HAProxy is away": {
			func(s shade) { s.haproxy.change(func() { s.haproxy.down = true }) },
			func(s shade) { s.haproxy.change(func() { s.haproxy.down = false }) }, "haproxy: ",
		},
		"the registry is lost": {
			func(s shade) { s.registry.lost <- errors.New("no leader") },
			func(s shade) { s.registry.lost <- nil }, "registry: no leader",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inShade(t, inLine(twoDomains(), v32), func(t *testing.T, s shade) {
				s.registry.tell(twoDomains())
				elapse(time.Second)
				s.acts(movedTo(812, "10.0.0.9:1")) // which nothing has asked for
				elapse(2 * pollInterval)
				blind.comes(s)
				elapse(time.Hour)
				if st := s.Status(); st.Shadow.Differed > 0 || len(st.Reasons) != 1 || !strings.HasPrefix(st.Reasons[0], blind.reason) {
					t.Errorf("%d differ, %q", st.Shadow.Differed, st.Reasons)
				}
				blind.goes(s)
				elapse(shadowPatience / 2)
				s.counts(t, 0, 0, 1)
				elapse(shadowPatience)
				s.counts(t, 0, 1, 1)
			})
		})
	}
}

func TestAShadowSaysWhatASafeguardWouldHold(t *testing.T) {
	t.Parallel()
	inShade(t, inLine(twoDomains(), v32), func(t *testing.T, s shade) {
		s.registry.tell(twoDomains())
		elapse(time.Second)
		s.registry.tell(registry.Snapshot{Prefix: "/services/web", Revision: 813})
		elapse(time.Second)
		if st := s.Status(); !strings.Contains(st.Held, "no key below the prefix") || len(st.HeldPlan.Actions) == 0 || st.Shadow.Agreed+st.Shadow.Differed > 0 {
			t.Errorf("held %q: %v, %+v", st.Held, st.HeldPlan, st.Shadow)
		}
		s.acts(registry.Snapshot{})
		elapse(time.Minute)
		s.counts(t, 0, 3, 0)
		if text, _ := s.logged.take(); !strings.Contains(text, "a safeguard of hapsync would have held it back") {
			t.Error(text)
		}
	})
}

func TestAShadowSaysWhatASafeguardWouldHaveHeldThoughTheOtherToolIsFaster(t *testing.T) {
	t.Parallel()
	inShade(t, inLine(twoDomains(), v32), func(t *testing.T, s shade) {
		s.registry.tell(twoDomains())
		elapse(time.Second)
		s.acts(registry.Snapshot{})
		s.registry.tell(registry.Snapshot{Prefix: "/services/web", Revision: 813})
		elapse(time.Minute)
		s.counts(t, 0, 3, 0)
	})
}

func TestAShadowTakesWhatAnOperatorSetOnTheSocketForAnOverride(t *testing.T) {
	t.Parallel()
	inShade(t, inLine(twoDomains(), v32), func(t *testing.T, s shade) {
		s.registry.tell(twoDomains())
		elapse(time.Second)
		s.haproxy.change(func() { s.haproxy.live.Backends[0].Servers[0].Weight = 5 })
		elapse(2 * time.Minute)
		s.counts(t, 0, 0, 0)
		if o := s.Status().Overrides; len(o) != 1 || o[0].Live != "weight 5" {
			t.Errorf("overrides: %+v", o)
		}
	})
}

func TestAShadowOfAQuietRegistryLooksOnceAMinute(t *testing.T) {
	t.Parallel()
	inShade(t, inLine(twoDomains(), v32), func(t *testing.T, s shade) {
		s.registry.tell(twoDomains())
		elapse(time.Hour)
		if n := s.haproxy.now().wholeReads; n < 59 || n > 65 {
			t.Errorf("%d looks", n)
		}
	})
}
