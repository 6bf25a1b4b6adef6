package etcd

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/hapsync/hapsync/registry"
)

// TestReconnectsLeaveNothingBehind counts goroutines and bytes in use, after some reconnects to warm up.
func TestReconnectsLeaveNothingBehind(t *testing.T) {
	const warm, all = 100, 1000
	at, prefix := started(t, etcds.plain), etcds.prefix()
	w := newWire(t, at)
	put(t, writer(t, at), prefix, "/a.com/s1/ip 10.0.0.1\n/a.com/s1/port 80\n")
	f := followQuickly(t, dial(t, Config{Endpoints: []string{w.at}, Prefix: prefix}))
	goroutines, bytes := 0, uint64(0)
	for n := 1; n <= all; n++ {
		f.forgets(t, fmt.Sprint("all for the ", n, "th time"))
		if n == warm {
			goroutines, bytes = runtime.NumGoroutine(), inUse()
		}
		w.set(false)
	}
	f.forgets(t, "all at the end")
	fewAgain(t, goroutines+5)
	const more = 512 << 10 // half a kilobyte a reconnect; etcd, which runs in this process, keeps some
	if now := inUse(); now > bytes+more {
		t.Errorf("%d bytes are in use after %d reconnects, and %d after %d", now, all, bytes, warm)
	}
	f.stop()
}

// forgets waits for the updates, and drops them.
func (f *following) forgets(t *testing.T, what string) {
	t.Helper()
	f.until(t, what, func(told []registry.Update, _ []error) bool { return countAll(told) > 0 })
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told, f.lost = nil, nil
}

// inUse is the reachable memory.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers held
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// fewAgain waits until there are at most so many goroutines.
func fewAgain(t *testing.T, most int) {
	t.Helper()
	late, again := time.After(10*time.Second), time.NewTicker(10*time.Millisecond)
	defer again.Stop()
	for runtime.NumGoroutine() > most {
		select {
		case <-again.C:
		case <-late:
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, want %d at most:\n%s", runtime.NumGoroutine(), most, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
