package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// startLeaving is an abc whose agent has brought a third server to a.abc.com, which has a session that end ends, and
// whose keys are deleted then.
func startLeaving(t *testing.T, drain time.Duration) (b abc, a *agent, skip int, end func()) {
	t.Helper()
	b, a = startFollowed(t, latestHAProxy(t), "--drain-timeout", drain.String())
	endless, end := startEndless(t, "endless")
	b.register(t, "a.abc.com/leaving", endless.addr)
	b.comes(t, "a.abc.com", "leaving", endless)
	b.settles(t)
	b.startSession(t, "a.abc.com", "leaving")
	skip = len(a.printed())
	b.unregister(t, "a.abc.com/leaving")
	return b, a, skip, end
}

// TestAgentLogsADrainInFewLines keeps a session open for a while: an agent that looks at it four times a second does not
// say so each time.
func TestAgentLogsADrainInFewLines(t *testing.T) {
	t.Parallel()
	b, a, skip, end := startLeaving(t, time.Minute)
	<-time.After(2 * time.Second)
	end()
	b.settles(t)
	// The server removed, once more where the pass looks again, the pass, and what it drains; the server out of the file, and the pass;
	// the server removed for good, the pass, the end of the drain.
	const most = 9
	if text := a.printed()[skip:]; strings.Count(text, "\n") > most {
		t.Errorf("more than %d lines:\n%s", most, text)
	}
	b.managed(t, "a.abc.com server1="+b.a1.addr+" server2="+b.a2.addr, "b.abc.com server1="+b.b1.addr)
	a.ready(t)
}

// TestAgentIsQuickWhileAServerKeepsItsSessions lets the time to drain pass. A server with sessions cannot be deleted;
// changes of others do not wait for it.
func TestAgentIsQuickWhileAServerKeepsItsSessions(t *testing.T) {
	t.Parallel()
	b, _, _, end := startLeaving(t, 100*time.Millisecond)
	defer end()
	eventually(t, "the server is in maintenance, or gone", func() error {
		reply, err := b.runtime("show stat a.abc.com_cluster 4 -1")
		if err == nil && strings.Contains(reply, ",leaving,") && !strings.Contains(reply, ",MAINT,") {
			err = fmt.Errorf("it is not:\n%s", reply)
		}
		return err
	})
	other := startHost(t, "other")
	for range 4 {
		b.txn(t, addrOf(t, "b.abc.com/server1", other.addr))
		b.comes(t, "b.abc.com", "server1", other)
		b.txn(t, addrOf(t, "b.abc.com/server1", b.b1.addr))
		b.comes(t, "b.abc.com", "server1", b.b1)
	}
	if _, there := b.stat("a.abc.com_cluster", "leaving", "status"); !there {
		t.Error("the server that keeps its sessions is gone: nothing was shown")
	}
}
