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

// An Instance is one HAProxy: its files and its process. One goroutine at a time may use what reads and changes the process
// (State, Cached, Run), another one what writes the file and reloads (Lock, Write, Reload); Servers and Waiting are for any.
type Instance struct {
	settings haproxy.Settings
	files    *configfile.Files
	waits    *haproxy.Waits // with Background only
	log      *slog.Logger
	// lastLoaded is what that worker has loaded, by its copy.
	lastLoaded struct {
		Worker  runtimeapi.Worker
		Managed configfile.Managed
	}
	// perhaps is what a worker may have loaded that has no copy, by the copy of the worker before, which is in file; nil without one.
	perhaps struct {
		configfile.Managed
		worker runtimeapi.Worker
		digest haproxy.Digest
		file   os.FileInfo
	}
	// started is what the worker was started with.
	started started
	// record is what hapsync has put into the process.
	record record
	// domains are the backends that hapsync has put into the process, or made rules pass by, and routed what its map has.
	domains domainRecord
	routed  mapEntries
	// names are those of domains that sit in spare backends; busy are spare ones that the process of that worker has something else in.
	names  runtimeapi.Names
	busy   map[string]bool
	busyOf runtimeapi.Worker
	// others are the servers of the process that are not hapsync's, in the backends that were read last.
	others map[haproxy.ServerKey]bool
	// cache is of the process, for Background.
	cache *runtimeapi.Cache
	// answered is the worker that State saw last; 0 after a try to give it its socket back.
	answered atomic.Int64
	// firstChecks are those of servers that came, and sameNetwork whether HAProxy reaches what they reach.
	firstChecks *firstChecks
	sameNetwork struct {
		worker runtimeapi.Worker
		is     bool
	}
	// draining are the servers that Background left to finish their sessions.
	draining runtimeapi.Drains
}

// Open checks the settings. It reads no file and reaches for no socket.
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
	h := &Instance{settings: s, log: cmp.Or(s.Logger, slog.New(slog.DiscardHandler)), draining: runtimeapi.NewDrains(s.DrainTimeout), firstChecks: newFirstChecks()}
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
