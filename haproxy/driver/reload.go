package driver

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// Reload makes HAProxy load its files, and returns when the new worker answers. It passes on the health of the servers, if the base file has
// a server-state file. The end of ctx does not interrupt it. After a *ReloadError, which wraps ErrRefused, the old worker stays in
// service, and the managed file is as before the last Write. After any other error the file stays: nothing says that it is bad.
func (h *Instance) Reload(ctx context.Context) error {
	f, r, err := h.open()
	if err != nil {
		return err
	}
	l := h.reloader(ctx, f.Base, r)
	_, down := r.Info(ctx)
	if down == nil && h.carryHealth(ctx, f, r) {
		defer h.clearHealth(f.Base.StateFile)
	}
	l.Deaf = int(h.answered.Load())
	end := h.waits.Begin("the reload")
	err = l.Reload(ctx)
	end()
	var refusal *haproxy.ReloadError
	if down != nil && !errors.As(err, &refusal) {
		h.answered.Store(0) // the reload did not help, so another one would not
	}
	if errors.As(err, &refusal) {
		return errors.Join(err, h.restore(f))
	}
	if err != nil {
		return err
	}
	w, err := r.Info(ctx)
	if err != nil {
		return err
	}
	h.files.ForgetPrevious()
	return configfile.ReplaceVolatile(h.files.LoadedFile(), h.files.Managed, loadedHeader(w), f.Text)
}

// reloader finds the way to reload: from the settings, the base file, the process, or its command line, in this order.
func (h *Instance) reloader(ctx context.Context, b configfile.Base, r runtimeapi.Client) runtimeapi.Reloader {
	l := runtimeapi.Reloader{Stats: r, Timeout: h.settings.ReloadTimeout}
	switch {
	case h.settings.MasterSocket != "":
		l.Master = runtimeapi.Master(h.settings.MasterSocket)
	case len(h.settings.ReloadCommand) > 0:
		l.Command = h.settings.ReloadCommand
	case b.MasterSocket != "":
		l.Master = runtimeapi.Master(b.MasterSocket)
	default:
		l.Master = runtimeapi.Master(cmp.Or(envMasterSocket(ctx, r), h.started.master))
	}
	return l
}

// masterTimeout is how long the master may take to list its workers. During another reload it is busy.
const masterTimeout = 500 * time.Millisecond

// masterOf is the master's socket; empty if it is not known.
func (h *Instance) masterOf(ctx context.Context, b configfile.Base, r runtimeapi.Client) runtimeapi.Master {
	ctx, cancel := context.WithTimeout(ctx, masterTimeout)
	defer cancel()
	return h.reloader(ctx, b, r).Master
}

// oldWorkersOf is the number of the master's old processes that still have connections; 0 if it does not answer.
func oldWorkersOf(ctx context.Context, master runtimeapi.Master, serving runtimeapi.Worker) int {
	if master == "" {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, masterTimeout)
	defer cancel()
	procs, err := master.Procs(ctx)
	if err != nil {
		return 0
	}
	// From 3.1 on, after a failed reload the serving worker is among the old ones.
	return len(slices.DeleteFunc(procs.Old, func(pid int) bool { return pid == serving.Pid }))
}

// envMasterSocket is the master's socket from the worker's environment (2.6 and 3.0; not 3.2 and 3.4); empty without one.
func envMasterSocket(ctx context.Context, r runtimeapi.Client) string {
	reply, err := r.Ask(ctx, "show env HAPROXY_MASTER_CLI")
	if err != nil {
		return ""
	}
	for l := range strings.Lines(reply) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(l), "HAPROXY_MASTER_CLI="); ok {
			addresses := strings.Split(value, ";")
			if i := slices.IndexFunc(addresses, configfile.Reachable); i >= 0 {
				return addresses[i]
			}
		}
	}
	return ""
}

// restore restores the managed file after a failed reload: to the text that the last Write replaced or, if another process made
// the change, to the text that the running worker has loaded.
func (h *Instance) restore(f configfile.Reading) error {
	loaded, err := h.lastText()
	if err != nil {
		return err
	}
	return h.files.Restore(f, loaded)
}
