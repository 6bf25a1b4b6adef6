package daemon

import (
	"context"
	"log/slog"
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

	// These are the loop's alone: what the directory was like when all was well, when that was, and what has been logged.
	mark   string
	looked time.Time
	told   []string

	mu     stdsync.Mutex // guards what follows
	all    []haproxy.Certificate
	failed string
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
	if err != nil || mark != c.mark || time.Since(c.looked) > certsResync {
		c.mark = ""
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
		settled := !slices.ContainsFunc(all, func(f haproxy.Certificate) bool { return f.Problem != "" && f.State != haproxy.CertificateBad })
		if err == nil && settled {
			c.mark, c.looked = mark, time.Now()
		}
	}
	c.tell(c.Warnings())
}

// tell logs what is new among the warnings, and what is over.
func (c *Certs) tell(now []string) {
	for _, w := range now {
		if !slices.Contains(c.told, w) {
			c.Log.Warn("a certificate needs attention", "what", w)
		}
	}
	for _, w := range c.told {
		if !slices.Contains(now, w) {
			c.Log.Info("no longer so", "what", w)
		}
	}
	c.told = now
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

// Warnings are what an operator should know of them; none for no Certs.
func (c *Certs) Warnings() []string {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := haproxy.Warnings(c.all, time.Now())
	if c.failed != "" {
		lines = append(lines, c.failed)
	}
	return lines
}

// A warned agent is one whose status has the warnings about certificates, too.
type warned struct {
	*sync.Agent
	certs *Certs
}

// Status is that of the agent with the warnings about certificates.
func (a warned) Status() sync.Status {
	s := a.Agent.Status()
	if lines := a.certs.Warnings(); len(lines) > 0 {
		s.Last.Warnings = slices.Concat(s.Last.Warnings, lines)
	}
	return s
}
