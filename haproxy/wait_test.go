package haproxy

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAStepThatTakesLongIsToldAndLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		h := NewWaits(slog.New(slog.NewTextHandler(&logged, nil)))
		quick := h.Begin("the disk")
		<-time.After(slowStep - time.Millisecond)
		quick()
		began := time.Now()
		first := h.Begin("haproxy -c")
		<-time.After(time.Second)
		second := h.Begin("the reload")
		<-time.After(slowStep - time.Second - time.Millisecond)
		if w, long := h.Longest(); long {
			t.Errorf("after %s it waits for %s", time.Since(began), w)
		}
		<-time.After(time.Hour)
		if w, long := h.Longest(); !long || w != (Wait{"haproxy -c", began}) {
			t.Errorf("it waits for %s, %t", w, long)
		}
		first()
		if w, long := h.Longest(); !long || w.For != "the reload" || !w.Since.Equal(began.Add(time.Second)) {
			t.Errorf("then it waits for %s, %t", w, long)
		}
		second()
		if w, long := h.Longest(); long {
			t.Errorf("at the end it waits for %s", w)
		}
		synctest.Wait() // for the log
		lines := strings.Split(strings.TrimSpace(logged.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], `for="haproxy -c"`) || !strings.Contains(lines[1], `for="the reload"`) {
			t.Errorf("logged:\n%s", logged.String())
		}
	})
}

func TestNothingIsWaitedForWithoutAnAgent(t *testing.T) {
	t.Parallel()
	var h *Waits
	h.Begin("haproxy -c")()
	if w, long := h.Longest(); long {
		t.Errorf("it waits for %s", w)
	}
}
