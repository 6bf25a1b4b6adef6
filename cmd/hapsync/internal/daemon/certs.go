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
	// certsInterval is how often the directory is looked at; it costs a few microseconds a file unless one has changed.
	certsInterval = 5 * time.Second
	// certsResync is after what time HAProxy is asked although no file has changed.
	certsResync = 10 * time.Minute
	// certsRetry is after what time all is tried again where something went wrong, although no file has changed.
	certsRetry = time.Minute
)

// A CertLoader is HAProxy as Certs has it.
type CertLoader interface {
	LoadCertificates(ctx context.Context, dir string) (loaded, all []haproxy.Certificate, err error)
}

// Certs puts the certificates of a directory into HAProxy as they come and change, for as long as an agent runs.
type Certs struct {
	Dir    string
	Loader CertLoader
	Log    *slog.Logger

	// These are the loop's alone: what the directory was like at the last look, when the next one is due although that has not
	// changed, and what has been logged.
	mark string
	next time.Time
	told []string

	mu     stdsync.Mutex // guards what follows
	all    []haproxy.Certificate
	failed string
	since  map[string]time.Time // when each warning came, by what it says withoutTime
}

// Run looks at the directory until ctx ends.
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

// look puts what has changed into HAProxy, and logs that, and each warning as it comes and goes.
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
	c.tell(slices.Sorted(maps.Keys(c.Warnings())))
}

// certsPause is when all is tried again although no file has changed.
func certsPause(all []haproxy.Certificate, err error) time.Duration {
	if slices.ContainsFunc(all, func(f haproxy.Certificate) bool { return f.State == haproxy.CertificateWaiting }) {
		return 0
	}
	if err != nil || slices.ContainsFunc(all, func(f haproxy.Certificate) bool { return f.Problem != "" && f.State != haproxy.CertificateBad }) {
		return certsRetry
	}
	return certsResync
}

// tell logs what is new among the warnings, and what is over; that fewer days are left is neither.
func (c *Certs) tell(now []string) {
	among := func(lines []string, w string) bool {
		return slices.ContainsFunc(lines, func(line string) bool { return withoutTime(line) == withoutTime(w) })
	}
	for _, w := range now {
		if !among(c.told, w) {
			c.Log.Warn("a certificate needs attention", "what", w)
		}
	}
	for _, w := range c.told {
		if !among(now, w) {
			c.Log.Info("no longer so", "what", w)
		}
	}
	c.told = now
}

// withoutTime is a warning without how long it is until a certificate expires.
func withoutTime(warning string) string {
	what, _, _ := strings.Cut(warning, " expires in ")
	return what
}

// All are the certificates as they were looked at last; nil for no Certs.
func (c *Certs) All() []haproxy.Certificate {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

// Warnings are what an operator should know of them, and since when it has been so; none for no Certs.
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

// A warned agent is one whose status has the warnings about certificates, too.
type warned struct {
	Follower
	certs *Certs
}

// Status is that of the agent with the warnings about certificates.
func (a warned) Status() sync.Status {
	return a.Follower.Status().WithWarnings(a.certs.Warnings())
}
