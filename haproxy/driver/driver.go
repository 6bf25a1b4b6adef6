package driver

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// An Instance is one HAProxy: its files and its process. One goroutine at a time may read and change the process (State, Cached, Run),
// another one may write the file and reload (Lock, Write, Reload). Any goroutine may call Servers and Waiting.
type Instance struct {
	settings haproxy.Settings
	files    *configfile.Files
	waits    *haproxy.Waits // with Background only
	log      *slog.Logger
	// lastLoaded is what the worker has loaded, from its copy.
	lastLoaded struct {
		Worker  runtimeapi.Worker
		Managed configfile.Managed
	}
	// guess is what a worker without a copy may have loaded. It includes the copy of the worker before; file is that copy, nil without one.
	guess struct {
		configfile.Managed
		worker runtimeapi.Worker
		digest haproxy.Digest
		file   os.FileInfo
	}
	// started is how the worker was started.
	started started
	// record has the servers that hapsync added to the process.
	record record
	// domains are the backends that hapsync added to the process, or unpublished there. routed are the entries of its map.
	domains domainRecord
	routed  mapEntries
	// names are those of domains in spare backends. busy are the spare backends that the worker busyOf uses for something else, or lacks.
	names  runtimeapi.Names
	busy   map[string]bool
	busyOf runtimeapi.Worker
	// others are the servers of the process that are not hapsync's, in the backends that were read last.
	others map[haproxy.ServerKey]bool
	// cache is the cache of the process; nil without Background.
	cache *runtimeapi.Cache
	// answered is the pid that State saw last; 0 after a reload did not bring a lost stats socket back.
	answered atomic.Int64
	// firstChecks are the checks of new servers. sameNetwork says whether the worker is in hapsync's network namespace.
	firstChecks *firstChecks
	sameNetwork struct {
		worker runtimeapi.Worker
		is     bool
	}
	// draining are the servers that still finish their sessions, with Background.
	draining runtimeapi.Drains
}

// Open checks the settings. It opens no file and no socket.
func Open(s haproxy.Settings) (*Instance, error) {
	if s.ManagedFile == "" {
		return nil, errors.New("no managed file is named")
	}
	s.BaseFile = cmp.Or(s.BaseFile, s.ManagedFile)
	if len(s.Frontends) == 0 {
		s.Frontends = []string{"webin"}
	}
	for _, f := range s.Frontends {
		if !haproxy.PlainName(f) {
			return nil, fmt.Errorf("frontend %q: a name of HAProxy's has letters, digits, and . - _ : only", f)
		}
	}
	s.Binary = cmp.Or(s.Binary, "haproxy")
	s.CheckTimeout = cmp.Or(s.CheckTimeout, time.Minute)
	s.ReloadTimeout = cmp.Or(s.ReloadTimeout, time.Minute)
	s.DrainTimeout = cmp.Or(s.DrainTimeout, 10*time.Second)
	binary, err := exec.LookPath(s.Binary)
	if err != nil {
		return nil, fmt.Errorf("find HAProxy, which validates every configuration: %w; install it, or name it with --haproxy-bin", err)
	}
	s.Binary = binary
	h := &Instance{
		settings: s, log: cmp.Or(s.Logger, slog.New(slog.DiscardHandler)),
		draining: runtimeapi.NewDrains(s.DrainTimeout), firstChecks: newFirstChecks(),
	}
	if s.Background {
		h.cache = &runtimeapi.Cache{}
		h.waits = haproxy.NewWaits(h.log)
	}
	if h.files, err = configfile.OpenFiles(s, h.waits); err != nil {
		return nil, err
	}
	h.record, h.busy = newRecord(h.files.Managed), map[string]bool{}
	h.domains = newDomainRecord(h.files.Managed, &h.names)
	return h, nil
}
