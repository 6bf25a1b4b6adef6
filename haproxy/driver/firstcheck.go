package driver

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"

	stdsync "sync"
)

const (
	// checksAtOnce is how many first checks may run at the same time. Others wait for at most their own timeout.
	checksAtOnce = 128
	// earlyWait is how long the addition of servers waits for their first checks. Most hosts answer sooner. A server whose check takes
	// longer is added as down.
	earlyWait = 3 * time.Millisecond
	// raiseTimeout is for the commands after good checks.
	raiseTimeout = 2 * time.Second
)

// HAProxy makes the first check of a server that was added live one interval late. It checks a server that was down and moved to another
// address at its next turn. So hapsync makes the same check at once: of a new server before it is added, so that the commands which add it
// can let it take traffic. If its check takes longer than earlyWait, and for a moved server, the server is there and down meanwhile, and a
// good check raises it. If the check fails, takes too long or is not made, HAProxy's own checks decide.
//
// firstChecks are the running ones. Any goroutine may use them.
type firstChecks struct {
	mu stdsync.Mutex // held while servers are raised, so that no server changes meanwhile
	// current is the check of each server that counts.
	current map[haproxy.ServerKey]*firstCheck
	places  chan struct{}
	running stdsync.WaitGroup

	ended stdsync.Mutex // guards good, briefly: checks may end while servers are raised
	good  []*firstCheck // the next raise raises all of them
}

// A firstCheck checks one server at one address of one worker.
type firstCheck struct {
	haproxy.HealthCheck
	key    haproxy.ServerKey
	addr   netip.AddrPort
	moved  bool
	socket runtimeapi.Client
	worker runtimeapi.Worker
	good   chan bool     // gets the result
	sent   chan struct{} // closed once HAProxy has the server
}

func newFirstChecks() *firstChecks {
	return &firstChecks{current: map[haproxy.ServerKey]*firstCheck{}, places: make(chan struct{}, checksAtOnce)}
}

// forget invalidates the checks of servers that are about to change.
func (c *firstChecks) forget(changes []haproxy.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range changes {
		delete(c.current, change.Key())
	}
}

// start starts a check, which is valid until its end or until forget.
func (c *firstChecks) start(ctx context.Context, f *firstCheck) {
	c.mu.Lock()
	c.current[f.key] = f
	c.mu.Unlock()
	c.running.Go(func() {
		err := c.check(ctx, f)
		f.good <- err == nil
		<-f.sent
		c.end(ctx, f, err)
	})
}

func (c *firstChecks) check(ctx context.Context, f *firstCheck) error {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
		return probe(ctx, f.addr, f.HealthCheck)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await returns the servers with a good check after at most earlyWait. Their checks are over.
func (c *firstChecks) await(checks []*firstCheck) map[haproxy.ServerKey]bool {
	good, late := map[haproxy.ServerKey]bool{}, time.NewTimer(earlyWait)
	defer late.Stop()
	for _, f := range checks {
		select {
		case good[f.key] = <-f.good:
			continue
		default:
		}
		select {
		case good[f.key] = <-f.good:
		case <-late.C:
			late.Reset(0) // for the others, too
		}
	}
	for _, f := range checks {
		if good[f.key] {
			c.mu.Lock()
			delete(c.current, f.key)
			c.mu.Unlock()
		}
	}
	return good
}

// end raises the server of a good check, with the servers of other good checks.
func (c *firstChecks) end(ctx context.Context, f *firstCheck, err error) {
	if err == nil {
		c.ended.Lock()
		c.good = append(c.good, f)
		c.ended.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.raise(ctx)
	} else if c.current[f.key] == f {
		delete(c.current, f.key)
	}
}

// raise lets the servers of valid good checks take traffic. If it fails, HAProxy's own checks decide.
func (c *firstChecks) raise(ctx context.Context) {
	c.ended.Lock()
	good := c.good
	c.good = nil
	c.ended.Unlock()
	servers, moved := map[haproxy.ServerKey]netip.AddrPort{}, map[haproxy.ServerKey]bool{}
	for _, f := range good {
		if c.current[f.key] == f {
			servers[f.key], moved[f.key] = f.addr, f.moved
			delete(c.current, f.key)
		}
	}
	if len(servers) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), raiseTimeout)
	defer cancel()
	last := good[len(good)-1]
	_, _ = last.socket.Raise(ctx, last.worker, servers, moved)
}

// checkFirst starts the first checks of servers that are added or move to another address. They raise no server before sent is closed. It
// starts none if the process may be in another network, and skips servers that HAProxy may check in another way.
func (c carrier) checkFirst(ctx context.Context, changes []haproxy.Change, sent chan struct{}) (started []*firstCheck) {
	h := c.Instance
	if h.settings.HAProxyChecksFirst || len(changes) == 0 {
		return nil
	}
	if !h.sameNetwork.worker.Same(c.worker) {
		h.sameNetwork.worker, h.sameNetwork.is = c.worker, runtimeapi.SameNetwork(c.client.Socket)
	}
	if !h.sameNetwork.is {
		return nil
	}
	checks := map[string]haproxy.HealthCheck{}
	for _, change := range changes {
		have, want := change.Servers()
		added, moved := change.Op() == haproxy.OpAdd, change.Op() == haproxy.OpSet && have.Addr != want.Addr
		isNew := (added || moved) && want.Check && want.State == haproxy.Ready
		if !isNew || !configfile.PlainServer(have.Params+" "+want.Params) {
			continue
		}
		backend := change.Key().Backend
		check, known := checks[backend]
		if !known {
			check = h.healthCheck(c.file, c.worker, backend)
			checks[backend] = check
		}
		if check.Timeout == 0 {
			continue
		}
		first := &firstCheck{
			HealthCheck: check, key: change.Key(), addr: want.Addr, moved: moved,
			socket: runtimeapi.Client{Socket: c.client.Socket, Names: c.client.Names}, worker: c.worker,
			good: make(chan bool, 1), sent: sent,
		}
		h.firstChecks.start(ctx, first)
		started = append(started, first)
	}
	return started
}

// healthCheck is the check that a worker makes of a backend's servers. It is zero if that is not known, for example because the file has
// another check than the worker has loaded.
func (h *Instance) healthCheck(f configfile.Reading, w runtimeapi.Worker, backend string) haproxy.HealthCheck {
	check, ok := f.HealthCheck(backend)
	loaded, err := h.loaded(f, w)
	if !ok || err != nil {
		return haproxy.HealthCheck{}
	}
	runs, there := haproxy.FindBackend(loaded.Config.Backends, backend)
	now, written := haproxy.FindBackend(f.Managed.Config.Backends, backend)
	if own, added := h.domains.added[backend]; !there && added {
		runs.Options, there = own.options, true
		now.Options, written = cmp.Or(now.Options, own.options), true
	}
	if !there || !written || runs.Options != now.Options {
		return haproxy.HealthCheck{}
	}
	return check
}
