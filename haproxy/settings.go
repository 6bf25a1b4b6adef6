package haproxy

import (
	"log/slog"
	"time"
)

// Settings say where HAProxy is and how it is reached.
type Settings struct {
	// BaseFile is the operator's configuration: read, never written (unless it is the managed file, too).
	BaseFile string
	// ManagedFile is the file that holds the managed part.
	ManagedFile string
	// Files are all files and directories that HAProxy is started with, in its order; empty means that they are asked of the
	// process, and are the base file and the managed file where that does not tell.
	Files []string
	// Frontends are those that carry the rules; empty means "webin".
	Frontends []string
	// Binary is the haproxy that validates; empty means "haproxy" of PATH.
	Binary string
	// RuntimeSocket is the path of a stats socket of level admin; empty means the first one that the base file names.
	RuntimeSocket string
	// MasterSocket is the path of the master's socket; empty means the one that the base file names
	// (setenv HAPSYNC_MASTER_SOCKET ...), or else that the process tells: by its environment (2.6 and 3.0; not 3.2 and 3.4), or by
	// its command line, where /proc has it.
	MasterSocket string
	// ReloadCommand is run, without a shell, where there is no master socket.
	ReloadCommand []string
	// CheckTimeout bounds haproxy -c; 0 means 60 s.
	CheckTimeout time.Duration
	// ReloadTimeout bounds a reload; 0 means 60 s.
	ReloadTimeout time.Duration
	// DrainTimeout is how long a removed server may finish its sessions; 0 means 10 s.
	DrainTimeout time.Duration
	// Background makes Run return at once: it does not wait for the checks of added servers, and leaves servers that
	// still have sessions draining until a later Run with the same removal finds them idle, or out of time.
	Background bool
	// HAProxyChecksFirst leaves the first check of a new server to HAProxy alone.
	HAProxyChecksFirst bool
	// StaticDomains makes domains come and go by reloads alone.
	StaticDomains bool
	// Spares are the backends that are declared for domains to come, up to HAProxy 3.3.
	Spares Spares
	// Logger takes what is worth a word but stops nothing; nil discards it.
	Logger *slog.Logger
}
