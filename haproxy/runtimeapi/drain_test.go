package runtimeapi

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

func TestAServerThatAnswersNoCheckIsRemovedAtOnce(t *testing.T) {
	t.Parallel()
	hung := haproxy.RemoveServer{Backend: "b", Server: haproxy.Server{Name: "hung", Check: true}}
	live := View{hung.Key(): Server{Server: hung.Server, Undecided: true}}
	d := NewDrains(time.Minute)
	if due := d.Due([]haproxy.Change{hung}, live, true); len(due) != 1 || due[0] != haproxy.Change(hung) {
		t.Errorf("due are %v", due)
	}
}

func TestARemovalWaitsForANewServerOnlyUntilTheDeadline(t *testing.T) {
	t.Parallel()
	for timeout, limit := range map[time.Duration]time.Duration{time.Second: checkWait, 10 * time.Second: 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			old := haproxy.RemoveServer{Backend: "b", Server: haproxy.Server{Name: "old"}}
			coming := haproxy.ServerKey{Backend: "b", Name: "coming"}
			live := View{old.Key(): Server{Server: old.Server, Sessions: 1}, coming: Server{Undecided: true}}
			d, changes := NewDrains(timeout), []haproxy.Change{old}
			begun := time.Now()
			for _, step := range []struct {
				at     time.Duration
				op     haproxy.Op
				change int
			}{{0, "", 0}, {limit - 1, "", 0}, {limit, haproxy.OpSet, 1}, {limit + timeout, haproxy.OpSet, 1}, {limit + timeout + 1, haproxy.OpRemove, 1}} {
				<-time.After(step.at - time.Since(begun)) // of the bubble
				if due := d.Due(changes, live, true); len(due) != step.change || len(due) > 0 && due[0].Op() != step.op {
					t.Errorf("timeout %s, after %s: due are %v", timeout, step.at, due)
				}
			}
		})
	}
}
