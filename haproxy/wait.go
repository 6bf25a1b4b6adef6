package haproxy

import (
	"log/slog"
	"slices"
	stdsync "sync"
	"time"
)

// slowStep is how long a step may take before it is logged.
const slowStep = 5 * time.Second

// A Wait is a step that takes long.
type Wait struct {
	// For is what has not answered yet: "haproxy -c".
	For   string
	Since time.Time
}

// Took is how long the step has taken; 0 for the zero Wait.
func (w Wait) Took() time.Duration {
	if w.Since.IsZero() {
		return 0
	}
	return time.Since(w.Since)
}

// String stays the same during the wait.
func (w Wait) String() string { return w.For + " since " + w.Since.Format(time.TimeOnly) }

// Waits are the current steps, the oldest first. There can be several: the process and the file have different goroutines.
type Waits struct {
	log *slog.Logger

	mu    stdsync.Mutex // guards steps
	steps []*Wait
}

// NewWaits logs steps that take long to log.
func NewWaits(log *slog.Logger) *Waits { return &Waits{log: log} }

// Begin records a step until end is called, and logs it once if it takes long. It does nothing if w is nil.
func (w *Waits) Begin(whom string) (end func()) {
	if w == nil {
		return func() {}
	}
	step := &Wait{whom, time.Now()}
	w.mu.Lock()
	w.steps = append(w.steps, step)
	w.mu.Unlock()
	late := time.AfterFunc(slowStep, func() {
		w.log.Warn("a step takes long, what needs it waits", "for", step.For, "since", step.Since)
	})
	return func() {
		late.Stop()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.steps = slices.DeleteFunc(w.steps, func(s *Wait) bool { return s == step })
	}
}

// Longest is the oldest step, if it takes long. Any goroutine may call it.
func (w *Waits) Longest() (Wait, bool) {
	if w == nil {
		return Wait{}, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.steps) == 0 || time.Since(w.steps[0].Since) < slowStep {
		return Wait{}, false
	}
	return *w.steps[0], true
}
