package e2e

import (
	"os"
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
