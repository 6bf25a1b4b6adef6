package sync

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// TestOthersAreFollowedWhileHaproxyCGetsNoAnswer has haproxy -c hang over the file of a quick pass, and then over that of
// the whole pass that comes after it.
func TestOthersAreFollowedWhileHaproxyCGetsNoAnswer(t *testing.T) {
	t.Parallel()
	const limit = time.Minute
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() { i.haproxy.hang = limit })
		began := time.Now()
		for port := uint16(2000); time.Since(began) < fileDelay+limit-time.Second; port++ {
			i.registry.change(moved(registry.Revision(port), port), "b.abc.com")
			synctest.Wait()
			if now := portOf(i.haproxy.now().live); now != port {
				t.Fatalf("after %s the process has port %d, want %d", time.Since(began), now, port)
			}
			elapse(5 * time.Second)
		}
		if s := i.Status(); !s.Ready() {
			t.Fatalf("not ready before the limit: %q", s.Reasons)
		}
		elapse(time.Until(began.Add(fileDelay + limit)))
		if s := i.Status(); !strings.Contains(s.Failed, "gave no answer within 1m0s") {
			t.Errorf("at the limit: %+v", s.Reasons)
		}
		elapse(limit)
		if n := strings.Count(i.logged.String(), "the pass failed"); n != 1 || i.haproxy.now().version > 0 {
			t.Errorf("%d failed passes, %d writes:\n%s", n, i.haproxy.now().version, i.logged)
		}

		i.haproxy.change(func() { i.haproxy.hang = 0 })
		elapse(limit + minRetry + time.Second) // the next try hangs already
		now := i.haproxy.now()
		if s := i.Status(); !s.Ready() || portOf(now.file) != portOf(now.live) {
			t.Errorf("port %d in the file and %d in the process, %q", portOf(now.file), portOf(now.live), s.Reasons)
		}
	})
}

func TestAFileThatGetsNoVerdictIsNotTriedAgainAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &guarded{fake: inLine(registry.Snapshot{}, v32), hang: time.Minute}
		s, err := New(Config{Source: source{snapshot: twoDomains()}, Process: m, File: m, Layout: layout})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := s.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), "gave no answer") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took != time.Minute || m.rewrites > 0 {
			t.Errorf("it took %s, with %d rewrites", took, m.rewrites)
		}
	})
}

func TestWhatTakesLongIsAReasonForAsLongAsItDoes(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		wait := haproxy.Wait{For: "haproxy -c", Since: time.Now()}
		i.haproxy.change(func() { i.haproxy.waiting = wait })
		want := "waiting for haproxy -c since " + wait.Since.Format(time.TimeOnly)
		if s := i.Status(); s.Ready() || s.Reasons[0] != want || s.Waiting != wait {
			t.Errorf("got %q, want %q", s.Reasons, want)
		}
		i.haproxy.change(func() { i.haproxy.waiting = haproxy.Wait{} })
		if s := i.Status(); !s.Ready() || s.Waiting != (haproxy.Wait{}) {
			t.Errorf("got %q", s.Reasons)
		}
	})
}
