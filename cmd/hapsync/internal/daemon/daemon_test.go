package daemon

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/sync"
)

func TestAnAgentAtRestGivesMemoryBack(t *testing.T) {
	const much = 64 << 20
	kept := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapSys - m.HeapReleased
	}
	synctest.Test(t, func(t *testing.T) {
		s := New(Build{})
		runtime.KeepAlive(make([]byte, much))
		before := kept()
		s.Observe(sync.WholePass, time.Second)
		for range 5 { // passes that follow each other
			<-time.After(restAfter - time.Millisecond)
			s.Observe(sync.QuickPass, time.Millisecond)
		}
		if now := kept(); now+much/2 < before {
			t.Errorf("%d MB were given back while there was work", (before-now)>>20)
		}
		<-time.After(restAfter + time.Millisecond)
		synctest.Wait()
		if now := kept(); now+much/2 > before {
			t.Errorf("of %d MB %d are kept", before>>20, now>>20)
		}
		s.Observe(sync.QuickPass, time.Millisecond)
		if s.rest.Stop() {
			t.Error("a quick pass alone is followed by a collection of all memory")
		}
	})
}
