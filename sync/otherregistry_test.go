package sync

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
	})
}
