package daemon

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	stdsync "sync"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/certfile"
	"github.com/hapsync/hapsync/sync"
)

const (
	// certsInterval is how often the directory is read. A file that has not changed costs a few microseconds.
	certsInterval = 5 * time.Second
	// certsResync is when HAProxy is asked although no file has changed.
	certsResync = 10 * time.Minute
	// certsRetry is the same after an error.
	certsRetry = time.Minute
)

// A CertLoader is the part of HAProxy that Certs needs.
type CertLoader interface {
	LoadCertificates(ctx context.Context, dir string) (loaded, all []haproxy.Certificate, err error)
}

// Certs puts new and changed certificates of a directory into HAProxy, as long as an agent runs.
type Certs struct {
	Dir    string
	Loader CertLoader
	Log    *slog.Logger

	// These belong to Run.
	mark   string    // identifies the content of the directory at the last look
	next   time.Time // when all is read again although nothing changed
	logged []string  // the warnings that were logged

	mu     stdsync.Mutex // guards the rest
	all    []haproxy.Certificate
	failed string
	since  map[string]time.Time // when each warning began, by its text withoutTime
}

// Run watches the directory until ctx ends.
func (c *Certs) Run(ctx context.Context) {
	ticker := time.NewTicker(certsInterval)
	defer ticker.Stop()
	for {
		c.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look puts what has changed into HAProxy, and logs it. It logs each warning when it begins and ends.
func (c *Certs) look(ctx context.Context) {
	mark, err := certfile.Mark(c.Dir)
	if err != nil || mark != c.mark || time.Now().After(c.next) {
		loaded, all, err := c.Loader.LoadCertificates(ctx, c.Dir)
		if ctx.Err() != nil {
			return
		}
		for _, l := range loaded {
			c.Log.Info("a certificate is put into HAProxy", "file", l.File, "names", strings.Join(l.Names, " "), "expires", l.NotAfter)
		}
		c.mu.Lock()
		c.all, c.failed = all, ""
		if err != nil {
			c.failed = "certificates: " + err.Error()
		}
		c.mu.Unlock()
		c.mark, c.next = mark, time.Now().Add(certsPause(all, err))
	}
	c.logWarnings(slices.Sorted(maps.Keys(c.Warnings())))
}

// certsPause is when all is read again although no file has changed.
func certsPause(all []haproxy.Certificate, err error) time.Duration {
	if slices.ContainsFunc(all, func(f haproxy.Certificate) bool { return f.State == haproxy.CertificateWaiting }) {
		return 0
	}
	notLoaded := func(f haproxy.Certificate) bool { return f.Problem != "" && f.State != haproxy.CertificateBad }
	if err != nil || slices.ContainsFunc(all, notLoaded) {
		return certsRetry
	}
	return certsResync
}

// logWarnings logs new warnings, and those that are over. Fewer days left do not make a warning new.
func (c *Certs) logWarnings(now []string) {
	among := func(lines []string, w string) bool {
		return slices.ContainsFunc(lines, func(line string) bool { return withoutTime(line) == withoutTime(w) })
	}
	for _, w := range now {
		if !among(c.logged, w) {
			c.Log.Warn("a certificate needs attention", "what", w)
		}
	}
	for _, w := range c.logged {
		if !among(now, w) {
			c.Log.Info("no longer so", "what", w)
		}
	}
	c.logged = now
}

// withoutTime is a warning without the time until a certificate expires.
func withoutTime(warning string) string {
	what, _, _ := strings.Cut(warning, " expires in ")
	return what
}

// All are the certificates of the last look; nil if c is nil.
func (c *Certs) All() []haproxy.Certificate {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

// Warnings are those about certificates, and since when; nil if c is nil.
func (c *Certs) Warnings() map[string]time.Time {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := haproxy.Warnings(c.all, time.Now())
	if c.failed != "" {
		lines = append(lines, c.failed)
	}
	was := c.since
	warnings := make(map[string]time.Time, len(lines))
	c.since = make(map[string]time.Time, len(lines))
	for _, line := range lines {
		what := withoutTime(line)
		c.since[what] = cmp.Or(was[what], time.Now())
		warnings[line] = c.since[what]
	}
	return warnings
}

// A warned Follower adds the warnings about certificates to its status.
type warned struct {
	Follower
	certs *Certs
}

// Status has the warnings about certificates, too.
func (a warned) Status() sync.Status {
	return a.Follower.Status().WithWarnings(a.certs.Warnings())
}
