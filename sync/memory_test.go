package sync

import (
	"maps"
	"runtime"
	"testing"
)

// TestAMapThatIsEmptiedGetsSmaller is not parallel, as it counts all allocations.
func TestAMapThatIsEmptiedGetsSmaller(t *testing.T) {
	m := map[int]int{}
	for n := range 10_000 {
		m[n] = n
	}
	m = without(m, func(n, _ int) bool { return n > 0 })
	if len(m) != 1 || !has(m, 0) {
		t.Fatalf("it has %v", m)
	}
	allocated := func() uint64 {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.TotalAlloc
	}
	before := allocated()
	again := maps.Clone(m) // as large as the map is
	if n := allocated() - before; n > 10_000 {
		t.Errorf("a map with %d entry takes %d bytes", len(again), n)
	}
}
