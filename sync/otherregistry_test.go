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

// otherRegistries are ways of an etcd to be another one than at revision 23.
func otherRegistries() map[string]registry.Snapshot {
	restored, replaced := reported(14, registry.Ready), reported(3, registry.Ready)
	replaced.ClusterID = 99
	return map[string]registry.Snapshot{"restored": restored, "replaced": replaced}
}

func TestRevisionsOfAnotherRegistryAreNotTakenForApplied(t *testing.T) {
	for name, other := range otherRegistries() {
		t.Run(name, func(t *testing.T) {
			inBubble(t, runningMemory(), func(t *testing.T, i inn) {
				all := reportsOf(t, i, &counter{})
				i.registry.tell(reported(23, registry.Ready))
				elapse(2 * time.Second)
				i.registry.tell(other)
				elapse(2 * time.Second)
				check := func(revision registry.Revision) {
					t.Helper()
					last, s := (*all)[len(*all)-1], i.Status()
					if last.Held == "" || last.Applied != 0 || last.Reached != 0 || !last.AppliedAt.IsZero() || last.Heard != revision {
						t.Errorf("it reports %+v", last)
					}
					if s.Applied != 0 || s.Has != 0 || s.Filed != 0 || s.Lag() == 0 {
						t.Errorf("applied %d, %d, filed %d, lag %s", s.Applied, s.Has, s.Filed, s.Lag())
					}
					ack := registry.Ack{Revision: revision, Domain: "a.abc.com", Host: "s1"}
					if missing := ack.Missing([]registry.AgentReport{last}); len(missing) != 1 || !strings.Contains(missing[0], "it holds its changes back") {
						t.Errorf("--wait says %q", missing)
					}
				}
				check(other.Revision)
				for _, revision := range []registry.Revision{20, 30} { // it overtakes the old one
					grown := reported(revision, registry.Ready)
					grown.ClusterID = other.ClusterID
					i.registry.change(grown, "a.abc.com")
					elapse(2 * time.Second)
					check(revision)
				}
				same := reported(23, registry.Ready) // says what HAProxy has
				same.ClusterID, same.Revision, same.Changed = other.ClusterID, 31, 31
				i.registry.change(same, "a.abc.com")
				elapse(2 * time.Second)
				if last, s := (*all)[len(*all)-1], i.Status(); !s.Ready() || s.Applied != 31 || s.Filed != 31 || s.Lag() != 0 || last.Applied != 31 || last.Held != "" {
					t.Errorf("it reports %+v, applied %d, filed %d", last, s.Applied, s.Filed)
				}
			})
		})
	}
}

// TestARestoreIsNoticedThoughTheRegistryHasGrownSince restores etcd while a pass takes long: by its end the registry is past the old revision.
func TestARestoreIsNoticedThoughTheRegistryHasGrownSince(t *testing.T) {
	t.Parallel()
	inBubble(t, runningMemory(), func(t *testing.T, i inn) {
		i.registry.tell(reported(23, registry.Ready))
		elapse(2 * time.Second)
		commands := i.haproxy.now().commands
		i.haproxy.mu.Lock()
		i.registry.change(reported(24, registry.Ready), "a.abc.com")
		i.registry.tell(reported(14, registry.Ready))
		grown := reported(30, registry.Ready)
		i.registry.change(grown, "a.abc.com")
		i.haproxy.mu.Unlock()
		synctest.Wait()
		if s := i.Status(); s.Held == "" || s.Applied != 0 {
			t.Errorf("held %q, applied %d, %d commands", s.Held, s.Applied, i.haproxy.now().commands-commands)
		}
	})
}

func TestTheHoldNamesTheRegistryThatIsThere(t *testing.T) {
	t.Parallel()
	inBubble(t, runningMemory(), func(t *testing.T, i inn) {
		i.registry.tell(reported(23, registry.Ready))
		elapse(2 * time.Second)
		others := otherRegistries()
		i.registry.tell(others["restored"])
		elapse(2 * time.Second)
		if held := i.Status().Held; !strings.Contains(held, "back at revision 14, was at 23") {
			t.Errorf("held %q", held)
		}
		i.registry.tell(others["replaced"])
		elapse(2 * time.Second)
		if held := i.Status().Held; !strings.Contains(held, "another cluster") {
			t.Errorf("held %q, etcd is another cluster", held)
		}
		i.registry.tell(reported(25, registry.Maint)) // the endpoints were wrong for a while
		elapse(2 * time.Second)
		if s := i.Status(); s.Held != "" || s.Applied != 25 {
			t.Errorf("held %q, applied %d, although etcd is the confirmed cluster again", s.Held, s.Applied)
		}
	})
}

// syncByHand is hapsync sync --allow-mass-removal.
func (i inn) syncByHand(t *testing.T, snapshot registry.Snapshot) {
	t.Helper()
	byHand, err := New(Config{Source: source{snapshot: snapshot}, Process: i.haproxy, File: i.haproxy, Layout: layout, Policy: Policy{AllowMassRemoval: true}})
	if err != nil {
		t.Fatal(err)
	}
	if report, err := byHand.Sync(t.Context()); err != nil || len(report.Warnings) > 0 {
		t.Fatal(err, report.Warnings)
	}
}

func TestAConfirmedRegistryMayChangeBeforeTheAgentLooks(t *testing.T) {
	for name, other := range otherRegistries() {
		t.Run(name, func(t *testing.T) {
			inBubble(t, runningMemory(), func(t *testing.T, i inn) {
				i.registry.tell(reported(23, registry.Ready))
				elapse(2 * time.Second)
				i.registry.tell(other)
				elapse(2 * time.Second)
				revision := registry.Revision(30)
				write := func() registry.Snapshot {
					revision++
					s := reported(revision, registry.Ready)
					s.ClusterID = other.ClusterID
					i.registry.change(s, "a.abc.com")
					return s
				}
				for n := range 50 { // in 10 s
					s := write()
					elapse(200 * time.Millisecond)
					if n == 10 && i.Status().Held == "" {
						t.Fatal("it is not held")
					}
					if n == 20 {
						write()
						i.syncByHand(t, s)
					}
				}
				if s := i.Status(); !s.Ready() || s.Applied != revision {
					t.Errorf("held %q, applied %d of %d", s.Held, s.Applied, revision)
				}
			})
		})
	}
}

// TestAConfirmationFromBeforeTheRestoreIsNone confirms a registry, which is then restored from a backup.
func TestAConfirmationFromBeforeTheRestoreIsNone(t *testing.T) {
	t.Parallel()
	inBubble(t, runningMemory(), func(t *testing.T, i inn) {
		i.registry.tell(reported(23, registry.Ready))
		elapse(2 * time.Second)
		later := reported(23, registry.Ready)
		later.Revision = 25 // others have written to etcd
		i.syncByHand(t, later)
		i.registry.tell(reported(14, registry.Ready))
		elapse(time.Minute)
		i.registry.change(reported(30, registry.Ready), "a.abc.com")
		elapse(time.Minute)
		if s := i.Status(); s.Held == "" || s.Applied != 0 {
			t.Errorf("held %q, applied %d", s.Held, s.Applied)
		}
	})
}

// TestASyncJustBeforeTheAgentNoticesTheRestoreConfirmsIt has the agent a little behind.
func TestASyncJustBeforeTheAgentNoticesTheRestoreConfirmsIt(t *testing.T) {
	for name, other := range otherRegistries() {
		t.Run(name, func(t *testing.T) {
			inBubble(t, runningMemory(), func(t *testing.T, i inn) {
				i.registry.tell(reported(23, registry.Ready))
				elapse(2 * time.Second)
				i.syncByHand(t, other)
				grown := reported(other.Revision+1, registry.Ready)
				grown.ClusterID = other.ClusterID
				i.registry.tell(grown)
				elapse(2 * heldPoll)
				if s := i.Status(); !s.Ready() || s.Applied != grown.Revision {
					t.Errorf("held %q, applied %d", s.Held, s.Applied)
				}
			})
		})
	}
}

func TestWhatADomainLackedIsStillMissingInAnotherRegistry(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		first := twoDomains()
		first.Revision, first.Changed = 23, 23
		i.registry.tell(first)
		synctest.Wait()
		i.haproxy.change(func() {
			i.haproxy.refuses = func(c haproxy.Config) []string {
				if _, there := backendOf(c, "c.abc.com"); there {
					return []string{"c.abc.com"}
				}
				return nil
			}
		})
		more := revised(first, 24, domain("c.abc.com", host("s", "10.0.0.1:80")))
		more.Changed = 24
		i.registry.tell(more)
		elapse(time.Minute)
		if s := i.Status(); s.Applied != 23 {
			t.Fatalf("applied %d, %q", s.Applied, s.Reasons)
		}
		restored := more
		restored.Revision, restored.Changed = 14, 14
		i.registry.tell(restored)
		elapse(2 * time.Second)
		if i.Status().Held == "" {
			t.Error("it is not held")
		}
		i.syncByHand(t, restored)
		elapse(2 * heldPoll)
		if s := i.Status(); s.Applied != 0 || s.reached != 14 || s.Held != "" {
			t.Errorf("applied %d, reached %d, held %q, though c.abc.com is missing: %q", s.Applied, s.reached, s.Held, s.lacking)
		}
		i.haproxy.change(func() { i.haproxy.refuses = nil })
		i.Resync()
		elapse(time.Minute)
		if s := i.Status(); s.Applied != 14 {
			t.Errorf("applied %d, %q", s.Applied, s.Reasons)
		}
	})
}

// TestNotesAreWrittenOnceForManyChanges has changes come for two seconds; then the notes name the last one.
func TestNotesAreWrittenOnceForManyChanges(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		elapse(5 * time.Second)
		before := i.haproxy.now().keeps
		for n := range 100 {
			i.registry.change(moved(registry.Revision(900+n), uint16(7+n)), "b.abc.com")
			elapse(20 * time.Millisecond)
		}
		elapse(notesDelay)
		now := i.haproxy.now()
		noted, err := readNotes(now.kept)
		if n := now.keeps - before; n < 2 || n > 4 || err != nil || noted.Revision != 999 {
			t.Errorf("written %d times, revision %d, %v", n, noted.Revision, err)
		}
	})
}

func TestAnAgentThatEndsHasWrittenItsNotes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, told := inLine(twoDomains(), v32), newScript()
		h := &guarded{fake: m}
		agent, err := NewAgent(AgentConfig{
			Follower: told, Process: h, File: h, Layout: layout, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- agent.Run(ctx) }()
		told.tell(twoDomains())
		for n := range 3 {
			told.change(moved(registry.Revision(900+n), uint16(7+n)), "b.abc.com")
			synctest.Wait()
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if noted, err := readNotes(m.kept); err != nil || noted.Revision != 902 {
			t.Errorf("revision %d, %v", noted.Revision, err)
		}
	})
}

// TestTheLateNotesOfAnAgentDoNotUndoAConfirmation confirms another registry while the agent has a revision of the former one to note.
func TestTheLateNotesOfAnAgentDoNotUndoAConfirmation(t *testing.T) {
	t.Parallel()
	for name, other := range otherRegistries() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, runningMemory(), func(t *testing.T, i inn) {
				i.registry.tell(reported(22, registry.Ready))
				synctest.Wait()
				i.registry.change(reported(23, registry.Maint), "a.abc.com")
				elapse(notesDelay / 10)
				i.registry.tell(other)
				elapse(notesDelay / 10)
				if i.Status().Held == "" {
					t.Fatal("it is not held")
				}
				i.syncByHand(t, other)
				elapse(notesDelay)
				next := reported(other.Revision+1, registry.Maint) // else HAProxy is in line with it, which also ends the hold
				next.ClusterID = other.ClusterID
				i.registry.change(next, "a.abc.com")
				elapse(2 * heldPoll)
				if s := i.Status(); s.Held != "" || s.Applied != next.Revision {
					t.Errorf("held %q, applied %d", s.Held, s.Applied)
				}
			})
		})
	}
}
