package sync

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestTheLagIsThatOfTheOldestChangeThatIsNotApplied hears a revision each second while the first one waits.
func TestTheLagIsThatOfTheOldestChangeThatIsNotApplied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s Status
		for range 3000 {
			s.Seen++
			s.hear(s.Seen)
			s.apply(0)
			elapse(time.Second)
		}
		if s.Lag() != 3000*time.Second || len(s.unapplied) > maxHearings+1 {
			t.Errorf("%s behind, %d hearings", s.Lag(), len(s.unapplied))
		}
		if s.apply(500); s.Lag() != 2500*time.Second {
			t.Errorf("%s behind after revision 500", s.Lag())
		}
		if s.apply(s.Seen); s.Lag() != 0 {
			t.Errorf("%s behind in the end", s.Lag())
		}
	})
}

// TestTheLagForgetsAnotherRegistry hears of a registry with higher revisions for a while.
func TestTheLagForgetsAnotherRegistry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := Status{Seen: 5_000_000}
		s.hear(s.Seen)
		elapse(2 * time.Second)
		s.Seen = 1001
		s.hear(s.Seen)
		elapse(time.Second)
		if s.apply(1000); s.Lag() != time.Second {
			t.Errorf("%s behind, though the change of revision 1001 is not applied", s.Lag())
		}
		if s.apply(1001); s.Lag() != 0 {
			t.Errorf("%s behind in the end", s.Lag())
		}
	})
}
