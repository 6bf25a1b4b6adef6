package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestAResyncFindsWhatIsChangedByHand changes the process and the file beside an agent, one thing after the other. Moved hosts come
// meanwhile.
func TestAResyncFindsWhatIsChangedByHand(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a := startFollowed(t, h, "--resync", "1s")
		b.settles(t)
		before := b.generation(t)
		moved := [2]*host{startHost(t, "moved"), b.b1}
		for i, typed := range []string{
			"set server a.abc.com_cluster/server1 addr 127.0.0.9 port 9",
			"set server a.abc.com_cluster/server2 addr 127.0.0.9",
			"set maxconn server a.abc.com_cluster/server1 1", // only "show stat" shows it
		} {
			if reply, err := b.runtime(typed); err != nil || strings.Contains(reply, "No such") {
				t.Fatal(reply, err)
			}
			b.txn(t, addrOf(t, "b.abc.com/server1", moved[i%2].addr))
			b.comes(t, "b.abc.com", "server1", moved[i%2])
			b.settles(t)
			b.drifted(t, a, i+1)
		}
		b.serves(t, "a.abc.com", "server1", b.a1)
		b.serves(t, "a.abc.com", "server2", b.a2)
		b.notReloaded(t, before)
		line := "server server1 " + b.a1.addr
		operator(t, b.managedFile, line, "server server1 127.0.0.9:9")
		eventually(t, "the file has the server again", func() error {
			if text := read(t, b.managedFile); !strings.Contains(text, line) {
				return fmt.Errorf("%s", text)
			}
			return nil
		})
		a.ready(t)
		b.settles(t)
	})
}

// drifted waits until an agent has counted so much drift.
func (b *box) drifted(t *testing.T, a *agent, drift int) {
	t.Helper()
	eventually(t, fmt.Sprintf("the agent has counted drift %d", drift), func() error {
		m, err := a.get("/metrics")
		if err != nil {
			return err
		}
		if _, after, _ := strings.Cut(m.body, "\nhapsync_drift_total "); !strings.HasPrefix(after, fmt.Sprintf("%d\n", drift)) {
			return fmt.Errorf("the metrics have %.20q", after)
		}
		return nil
	})
}
