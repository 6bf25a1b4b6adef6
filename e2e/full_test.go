package e2e

import (
	"iter"
	"maps"
	"os"
	"slices"
	"testing"
)

// full reports whether everything is to be tested: HAPSYNC_TESTS=full, as `make ci` has it. Without it the long tests are
// left out, and what repeats a thing many times repeats it less often.
func full() bool { return os.Getenv("HAPSYNC_TESTS") == "full" }

// onlyInFull leaves a test out unless everything is to be tested.
func onlyInFull(t *testing.T, why string) {
	t.Helper()
	if !full() {
		t.Skipf("left out, as %s: HAPSYNC_TESTS=full runs it", why)
	}
}

// often is one number where everything is tested, and another where time counts: how often to repeat something, for most.
func often(many, few int) int {
	if full() {
		return many
	}
	return few
}

// someOf are the cases of a table: all of them where everything is tested, and every third, by name, where time counts.
func someOf[Case any](table map[string]Case) iter.Seq2[string, Case] {
	names := slices.Sorted(maps.Keys(table))
	return func(yield func(string, Case) bool) {
		for i := 0; i < len(names); i += often(1, 3) {
			if !yield(names[i], table[names[i]]) {
				return
			}
		}
	}
}
