package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

const (
	// quiet is how long a command waits without a word, redrawn how often it says then how long it has been waiting.
	quiet   = time.Second
	redrawn = 250 * time.Millisecond
)

// waits say on the last line of a terminal what a command waits for, once it has been waiting for a second. nil says nothing.
type waits struct {
	out   io.Writer
	width int

	mu    stdsync.Mutex // guards what follows, and out
	steps []*step
	shown bool
}

// A step is something that is waited for.
type step struct {
	began time.Time
	text  func(took time.Duration) string
}

// newWaits are those of standard error; nil if that is no terminal, or one that takes no escape codes.
func (p program) newWaits() *waits {
	terminal, ok := cli.TerminalOf(p.stderr)
	if !ok || p.getenv("TERM") == "dumb" {
		return nil
	}
	return &waits{out: p.stderr, width: terminal.Width}
}

// begin takes note of a wait until end is called, after which nothing of it is on the terminal. The wait that began last is the one
// that is shown. Any goroutine may call it.
func (w *waits) begin(text func(took time.Duration) string) (end func()) {
	if w == nil {
		return func() {}
	}
	s := &step{time.Now(), text}
	w.mu.Lock()
	w.steps = append(w.steps, s)
	w.mu.Unlock()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		w.show(stop)
	}()
	return func() {
		close(stop)
		<-stopped
		w.mu.Lock()
		defer w.mu.Unlock()
		w.steps = slices.DeleteFunc(w.steps, func(other *step) bool { return other == s })
		w.clear()
	}
}

// on is begin for a wait with a name.
func (w *waits) on(format string, args ...any) (end func()) {
	what := fmt.Sprintf(format, args...)
	return w.begin(func(took time.Duration) string { return fmt.Sprintf("waiting for %s, %s", what, seconds(took)) })
}

// seconds is a time in whole seconds, "12 s".
func seconds(d time.Duration) string { return fmt.Sprintf("%d s", max(0, int(d.Seconds()))) }

// show draws the line of the last step until stop, from when a second is over.
func (w *waits) show(stop <-chan struct{}) {
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		w.mu.Lock()
		last := w.steps[len(w.steps)-1]
		w.clear()
		w.line(last.text(time.Since(last.began)))
		w.mu.Unlock()
		timer.Reset(redrawn)
	}
}

// line shows a line, as far as the terminal is wide. The caller holds the lock.
func (w *waits) line(text string) {
	line := render.Cut(render.OneLine(text), max(0, w.width-1), 0)
	_, _ = io.WriteString(w.out, strings.TrimSuffix(line, "\n")) // if the terminal is gone, there is no one to tell
	w.shown = true
}

// clear takes the line away. The caller holds the lock.
func (w *waits) clear() {
	if w.shown {
		_, _ = io.WriteString(w.out, "\r\x1b[K")
	}
	w.shown = false
}

// Write writes lines of the log in the place of what is shown, which comes back below them.
func (w *waits) Write(log []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clear()
	return w.out.Write(log)
}

// A patientSource tells what etcd is asked for.
type patientSource struct {
	source
	waits *waits
	etcd  string // its endpoints
}

func (s patientSource) Snapshot(ctx context.Context) (registry.Snapshot, error) {
	defer s.waits.on("%s", s.etcd)()
	return s.source.Snapshot(ctx)
}

func (s patientSource) Domain(ctx context.Context, name string) (registry.Snapshot, error) {
	defer s.waits.on("%s", s.etcd)()
	return s.source.Domain(ctx, name)
}

// etcdOf names etcd, for one who waits for it.
func etcdOf(c *cli.Context) string {
	return "etcd at " + strings.Join(cli.Words(c.StringSlice("endpoints")...), ", ")
}

// A patientTarget tells what HAProxy is asked for, with a bar as soon as it is changed: whose steps are the changes of the process, the
// file, the reload, and what is read back. One that is not needed is passed over. The time is that of all steps.
type patientTarget struct {
	target
	waits *waits
	began time.Time // the first step; zero before it
}

// on takes note of a step that begins: the bar is full as far as those before it go.
func (t *patientTarget) on(step int, format string, args ...any) (end func()) {
	const steps, width = 4, 2
	if t.began.IsZero() && step == steps {
		return t.waits.on(format, args...)
	}
	if t.began.IsZero() {
		t.began = time.Now()
	}
	began, done := t.began, (step-1)*width
	bar := strings.Repeat("#", done) + strings.Repeat("-", steps*width-done)
	line := fmt.Sprintf("[%s] step %d of %d: waiting for ", bar, step, steps) + fmt.Sprintf(format, args...)
	return t.waits.begin(func(time.Duration) string { return line + ", " + seconds(time.Since(began)) })
}

func (t *patientTarget) State(ctx context.Context, scope haproxy.Scope) (haproxy.State, error) {
	defer t.on(4, "HAProxy to say how it is")()
	return t.target.State(ctx, scope)
}

func (t *patientTarget) Run(ctx context.Context, changes []haproxy.Change) (haproxy.Outcome, error) {
	defer t.on(1, "HAProxy to take %s", registry.Count(len(changes), "change"))()
	return t.target.Run(ctx, changes)
}

func (t *patientTarget) Write(ctx context.Context, e haproxy.Edit) error {
	defer t.on(2, "haproxy -c")()
	return t.target.Write(ctx, e)
}

func (t *patientTarget) Reload(ctx context.Context) error {
	defer t.on(3, "HAProxy to reload")()
	return t.target.Reload(ctx)
}
