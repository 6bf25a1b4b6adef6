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
	quiet   = time.Second            // no progress is shown before
	redrawn = 250 * time.Millisecond // between two updates
)

// progress shows on the last line of a terminal what a command waits for, after one second. nil shows nothing.
type progress struct {
	out   io.Writer
	width int

	mu    stdsync.Mutex // guards the rest, and out
	steps []*step
	shown bool
}

// A step is something to wait for.
type step struct {
	began time.Time
	text  func(took time.Duration) string
}

// newProgress is for standard error; nil if that is no terminal, or a terminal without escape codes.
func (p program) newProgress() *progress {
	terminal, ok := cli.TerminalOf(p.stderr)
	if !ok || p.getenv("TERM") == "dumb" {
		return nil
	}
	return &progress{out: p.stderr, width: terminal.Width}
}

// begin shows a wait until end is called, which erases it. The wait that began last is the one that is shown. It is safe for
// concurrent use.
func (w *progress) begin(text func(took time.Duration) string) (end func()) {
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
func (w *progress) on(format string, args ...any) (end func()) {
	what := fmt.Sprintf(format, args...)
	return w.begin(func(took time.Duration) string { return fmt.Sprintf("waiting for %s, %s", what, seconds(took)) })
}

// seconds is a time in whole seconds, "12 s".
func seconds(d time.Duration) string { return fmt.Sprintf("%d s", max(0, int(d.Seconds()))) }

// show draws the line of the last step until stop, after one second.
func (w *progress) show(stop <-chan struct{}) {
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

// line draws a line, cut to the width of the terminal. The caller holds the lock.
func (w *progress) line(text string) {
	line := render.Cut(render.OneLine(text), max(0, w.width-1), 0)
	_, _ = io.WriteString(w.out, strings.TrimSuffix(line, "\n")) // the error can go nowhere
	w.shown = true
}

// clear erases the line. The caller holds the lock.
func (w *progress) clear() {
	if w.shown {
		_, _ = io.WriteString(w.out, "\r\x1b[K")
	}
	w.shown = false
}

// Write replaces the line by lines of the log. The line comes back below them.
func (w *progress) Write(log []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clear()
	return w.out.Write(log)
}

// A progressSource shows what a command waits for in etcd.
type progressSource struct {
	source
	progress *progress
	etcd     string // its endpoints
}

func (s progressSource) Snapshot(ctx context.Context) (registry.Snapshot, error) {
	defer s.progress.on("%s", s.etcd)()
	return s.source.Snapshot(ctx)
}

func (s progressSource) Domain(ctx context.Context, name string) (registry.Snapshot, error) {
	defer s.progress.on("%s", s.etcd)()
	return s.source.Domain(ctx, name)
}

// etcdOf names etcd for the progress line.
func etcdOf(c *cli.Context) string {
	return "etcd at " + strings.Join(cli.Words(c.StringSlice("endpoints")...), ", ")
}

// A progressTarget shows what a command waits for in HAProxy. After the first change there is a bar of four steps: the changes
// of the process, the file, the reload, and reading back. Steps that are not needed are skipped. The time is that of all steps.
type progressTarget struct {
	target
	progress *progress
	began    time.Time // the first step; zero before it
}

// on shows a step; the bar is full up to it.
func (t *progressTarget) on(step int, format string, args ...any) (end func()) {
	const steps, width = 4, 2
	if t.began.IsZero() && step == steps {
		return t.progress.on(format, args...)
	}
	if t.began.IsZero() {
		t.began = time.Now()
	}
	began, done := t.began, (step-1)*width
	bar := strings.Repeat("#", done) + strings.Repeat("-", steps*width-done)
	line := fmt.Sprintf("[%s] step %d of %d: waiting for ", bar, step, steps) + fmt.Sprintf(format, args...)
	return t.progress.begin(func(time.Duration) string { return line + ", " + seconds(time.Since(began)) })
}

func (t *progressTarget) State(ctx context.Context, scope haproxy.Scope) (haproxy.State, error) {
	defer t.on(4, "HAProxy to say how it is")()
	return t.target.State(ctx, scope)
}

func (t *progressTarget) Run(ctx context.Context, changes []haproxy.Change) (haproxy.Outcome, error) {
	defer t.on(1, "HAProxy to take %s", registry.Count(len(changes), "change"))()
	return t.target.Run(ctx, changes)
}

func (t *progressTarget) Write(ctx context.Context, e haproxy.Edit) error {
	defer t.on(2, "haproxy -c")()
	return t.target.Write(ctx, e)
}

func (t *progressTarget) Reload(ctx context.Context) error {
	defer t.on(3, "HAProxy to reload")()
	return t.target.Reload(ctx)
}
