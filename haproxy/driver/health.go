package driver

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"

	stdsync "sync"
)

// carryHealth writes the servers that are down to the file from which the new worker reads it. If that fails, HAProxy reloads anyway.
func (h *Instance) carryHealth(ctx context.Context, f configfile.Reading, r runtimeapi.Client) bool {
	if f.Base.StateFile == "" || f.Base.StateFile[0] != '/' || !f.Base.LoadsState {
		return false
	}
	state, err := r.Ask(ctx, "show servers state")
	if err == nil {
		checked := stdsync.OnceValue(f.Checked)
		lines := runtimeapi.Health([]byte(state), r.Names, func(backend, server string, addr netip.AddrPort, tls bool) bool {
			return checked()[haproxy.ServerKey{Backend: backend, Name: server}] == configfile.Checked{Addr: addr, TLS: tls}
		})
		err = writeHealth(f.Base.StateFile, append(lines, runtimeapi.OneReload...))
	}
	if err != nil {
		h.log.Warn("the servers' health is not carried over the reload", "error", err)
	}
	return err == nil
}

// clearHealth empties the server-state file. A line that stays after its reload would override an address later.
func (h *Instance) clearHealth(path string) {
	if err := clearHealth(path); err != nil {
		h.log.Warn("the server-state file keeps lines of an old state", "error", err)
	}
}

// writeHealth replaces the server-state file atomically. The mode stays; a new file has 0644.
func writeHealth(path string, content []byte) error {
	if err := configfile.Replace(path, path, string(content)); err != nil {
		return fmt.Errorf("server-state file: %w", err)
	}
	return nil
}

// clearHealth writes a server-state file without servers: the next start of HAProxy then uses its configuration only.
func clearHealth(path string) error { return writeHealth(path, []byte(runtimeapi.NoHealth)) }

// leftHealth reports whether a server-state file has what a killed process wrote for its reload. The next start of HAProxy would use its
// addresses, whatever the configuration says.
func leftHealth(path string) bool {
	text, _, err := configfile.ReadBeside(path)
	return err == nil && strings.Contains(text, runtimeapi.OneReload)
}
