package sync

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A filing is the writing of what quick passes changed: past.pending.
type filing struct {
	at time.Time // when it is due; zero where nothing is pending
	// revision is the last one of which something is pending.
	revision registry.Revision
	// What is being written; done is nil where nothing is.
	done    chan error
	writing map[string]haproxy.Backend
	of      registry.Revision
	began   time.Time
}

// pend takes what the file is to get, of the domains of a quick pass.
func (a *Agent) pend(p *pass, domains []string) {
	for _, name := range domains {
		want, wanted := backendOf(p.want, name)
		have, _ := backendOf(p.state.File, name)
		_, writing := a.file.writing[name]
		if wanted && (writing || !slices.Equal(have.Servers, want.Servers)) {
			a.past.pending[name] = want
		} else {
			delete(a.past.pending, name)
		}
	}
	a.file.revision = p.report.Revision
	switch {
	case len(a.past.pending) == 0:
		a.file.at = time.Time{}
	case a.file.at.IsZero():
		a.file.at = time.Now().Add(fileDelay)
	}
}

// startFiling begins to write what is pending, while passes go on.
func (a *Agent) startFiling(ctx context.Context) error {
	if err := a.lock.hold(); err != nil {
		return err
	}
	f := &a.file
	f.at, f.done, f.began, f.of = time.Time{}, make(chan error, 1), time.Now(), f.revision
	f.writing = maps.Clone(a.past.pending)
	backends := slices.SortedFunc(maps.Values(f.writing), byBackend)
	go func(done chan<- error) { done <- a.cfg.Amender.Amend(context.WithoutCancel(ctx), backends) }(f.done)
	return nil
}

// filed takes note of how the writing went. What went wrong is for a whole pass to find out, and to say.
func (a *Agent) filed(err error) {
	f := &a.file
	written := f.writing
	f.done, f.writing = nil, nil
	if err = errors.Join(err, a.lock.release()); err != nil {
		if errors.Is(err, haproxy.ErrNoVerdict) {
			a.note(err) // the whole pass may wait as long
		}
		a.cfg.Logger.Debug("the file is left to a whole pass", "error", err)
		a.wholeAt = time.Now()
		return
	}
	for name, b := range written {
		if now := a.past.pending[name]; now.Options == b.Options && slices.Equal(now.Servers, b.Servers) {
			delete(a.past.pending, name)
		}
	}
	if len(a.past.pending) > 0 && f.at.IsZero() {
		f.at = time.Now().Add(fileDelay)
	}
	a.seen, _ = a.look(context.Background())
	took := time.Since(f.began)
	a.cfg.Observe(FilePass, took)
	a.cfg.Logger.Info("filed", "revision", f.of, "domains", len(written), "took", took.Round(time.Microsecond))
	a.recordFiled(f.of, len(written))
}

// awaitFiling waits for a writing that is under way: at most for haproxy -c.
func (a *Agent) awaitFiling() {
	if a.file.done != nil {
		a.filed(<-a.file.done)
	}
}

// fileAll writes what is pending, and waits for it.
func (a *Agent) fileAll(ctx context.Context) {
	a.awaitFiling()
	if len(a.past.pending) == 0 {
		return
	}
	if err := a.startFiling(ctx); err != nil {
		a.cfg.Logger.Warn("the file lags behind the process", "error", err)
		return
	}
	a.awaitFiling()
}
