package sync

import (
	"context"
	"fmt"
	"io"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A Source is where the wanted state comes from: the registry.
type Source interface {
	// Snapshot reads the whole registry at one revision. A failed read is an error, never an empty snapshot.
	Snapshot(ctx context.Context) (registry.Snapshot, error)
}

// A Target is what is brought in line: HAProxy's file and process.
type Target interface {
	State(ctx context.Context) (haproxy.State, error)
	Commit(ctx context.Context, want haproxy.Config, base haproxy.Digest) error
	Rewrite(ctx context.Context, want haproxy.Config, base haproxy.Digest) error
	Run(ctx context.Context, changes []haproxy.Change) error
	Reload(ctx context.Context) error
}

// Config says what a Syncer works on.
type Config struct {
	Source Source
	Target Target
	Layout Layout
	Policy Policy
	// ForceRewrite writes the managed file anew even where a transaction would do.
	ForceRewrite bool
}

// A Layout says which frontends carry the rules.
type Layout struct {
	// Frontends are those that get an ACL and a use_backend rule for each domain.
	Frontends []string
}

// Policy holds the safeguards.
type Policy struct {
	// MaxRemoval is the share of the managed servers, in percent (1..100), that one pass may remove where
	// there are more than five; 0 means 50.
	MaxRemoval int
	// AllowMassRemoval confirms a removal that would be held.
	AllowMassRemoval bool
}

// A Syncer brings HAProxy in line with the registry, a pass at a time. It is not safe for concurrent use.
type Syncer struct{ cfg Config }

// New returns a Syncer.
func New(cfg Config) (*Syncer, error) { return &Syncer{cfg}, nil }

// A Report is what a pass found, meant to do and did.
type Report struct {
	Revision registry.Revision
	Plan     Plan
	// Problems are the registry's, and what Layout and the validation left out, sorted by key.
	Problems []registry.Problem
	// Pending hosts, as "domain/host", with what is missing, sorted.
	Pending []string
	// Warnings are what an operator should mend in HAProxy's configuration.
	Warnings []string
	// Down says why the process could not be reached; nil when it was.
	Down error
	// Applied is set when the plan was carried out (or there was nothing to do), not only made.
	Applied bool
}

// LeftOut reports whether a problem keeps some domain or host from being followed (exit code 6).
func (r Report) LeftOut() bool { return false }

// WriteText writes the plan and what is wrong, for a person; the last line is the verdict.
func (r Report) WriteText(w io.Writer) error { return nil }

// WriteJSON writes the report as one JSON object with a "version" field.
func (r Report) WriteJSON(w io.Writer) error { return nil }

// A HeldError is a plan that a safeguard holds back. Nothing was touched.
type HeldError struct{ Reason string }

func (e *HeldError) Error() string { return fmt.Sprintf("held: %s", e.Reason) }

// Plan says what Sync would do. It reads only. A *HeldError comes with a full report.
func (s *Syncer) Plan(ctx context.Context) (Report, error) { return Report{}, nil }

// Sync brings HAProxy in line, once. Errors come with what the report holds until then.
func (s *Syncer) Sync(ctx context.Context) (Report, error) { return Report{}, nil }
