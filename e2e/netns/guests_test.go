package netns

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// Guests are hosts of domainA that come and go, one after the other: each is a hapsync register of its own.
type guests struct {
	stop func()
	done sync.WaitGroup
	// left counts the guests that have come and gone; cut those that could not take their keys back, because no etcd
	// took a write: their leases end.
	left, cut atomic.Int64
}

func startGuests(t *testing.T, s *site) *guests {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	g := &guests{stop: stop}
	at := s.web[3]
	g.done.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := at.visit(ctx, s.etcd, fmt.Sprintf("guest%d", i)); err != nil {
				g.cut.Add(1)
				continue
			}
			g.left.Add(1)
		}
	})
	t.Cleanup(g.end)
	g.goOn(t)
	return g
}

// visit registers a host for a moment.
func (w *web) visit(ctx context.Context, e *etcd, host string) error {
	ctx, cancel := context.WithTimeout(ctx, 700*time.Millisecond)
	defer cancel()
	cmd := w.command(ctx, programs.hapsync, "register", "--domain", domainA, "--host", host, "--ip", w.ip, "--port", "80",
		"--endpoints", e.endpoints(), "--drain", "300ms", "--ttl", "5s")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = harness.Within
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.thread.Do(cmd.Start); err != nil {
		return err
	}
	if err := cmd.Wait(); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return err // it ended by itself, or badly
	}
	return nil
}

// goOn waits until some more have come and gone.
func (g *guests) goOn(t *testing.T) {
	t.Helper()
	before := g.left.Load()
	harness.Eventually(t, "guests come and go", func() error {
		if more := g.left.Load() - before; more < 2 {
			return fmt.Errorf("%d more", more)
		}
		return nil
	})
}

// end waits for the last one.
func (g *guests) end() {
	g.stop()
	g.done.Wait()
}
