package haproxy

import (
	"log/slog"
	"time"
)

// Settings say where HAProxy is, and how to reach it.
type Settings struct {
	// BaseFile is the operator's configuration. hapsync only reads it, unless it is the managed file, too.
	BaseFile string
	// ManagedFile is the file that holds the managed part.
	ManagedFile string
	// Files are all files and directories that HAProxy is started with, in its order. Empty means that hapsync asks the process. If the
	// process does not tell, they are the base file and the managed file.
	Files []string
	// Frontends are the frontends that get the rules; empty means "webin".
	Frontends []string
	// Binary is the haproxy that checks files; empty means "haproxy" of PATH.
	Binary string
	// RuntimeSocket is the path of a stats socket of level admin; empty means the first one that the base file names.
	RuntimeSocket string
	// MasterSocket is the path of the master's socket. Empty means the one that the base file names (setenv HAPSYNC_MASTER_SOCKET ...).
	// Without that, hapsync reads the environment of the process (2.6 and 3.0; not 3.2 and 3.4), or its command line in /proc.
	MasterSocket string
	// ReloadCommand is run, without a shell, if there is no master socket.
	ReloadCommand []string
	// CheckTimeout bounds haproxy -c; 0 means 60 s.
	CheckTimeout time.Duration
	// ReloadTimeout bounds a reload; 0 means 60 s.
	ReloadTimeout time.Duration
	// DrainTimeout is how long a removed server may finish its sessions; 0 means 10 s.
	DrainTimeout time.Duration
	// Background makes Run return at once. It does not wait for the checks of added servers. Servers that still have sessions keep
	// draining; a later Run with the same removal removes them once they are idle or the DrainTimeout is over.
	Background bool
	// HAProxyChecksFirst leaves the first check of a new server to HAProxy.
	HAProxyChecksFirst bool
	// StaticDomains adds and removes domains by reloads only.
	StaticDomains bool
	// Spares are the backends to declare for new domains, up to HAProxy 3.3.
	Spares Spares
	// Logger gets warnings that stop nothing; nil discards them.
	Logger *slog.Logger
}
