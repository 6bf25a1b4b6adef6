package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

func TestCheckExitCodes(t *testing.T) {
	down := fmt.Errorf("/run/x.sock: %w", haproxy.ErrDown)
	for _, tt := range []struct {
		name   string
		change func(*bench)
		code   int
		stdout string
	}{
		{"all well", func(*bench) {}, exitOK, "ok   registry http://127.0.0.1:2379: revision 812, 2 keys below /services/web, 1 domain"},
		{"no keys", func(b *bench) { b.snapshot = registry.Snapshot{Revision: 1} }, exitOK, "warn prefix /services/web: there is no key below it"},
		{"registry away", func(b *bench) { b.snapshotErr = registry.ErrUnavailable }, exitRegistry, "fail registry"},
		{"HAProxy down", func(b *bench) { b.state.Down = down }, exitHAProxy, "/run/x.sock"},
		{"both: the first counts", func(b *bench) { b.snapshotErr, b.state.Down = registry.ErrUnavailable, down }, exitRegistry, "/run/x.sock"},
		{"another error", func(b *bench) { b.stateErr = fmt.Errorf("no such file") }, exitError, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := oneHost()
			tt.change(b)
			got := b.run(t, "check")
			if got.code != tt.code || b.wrote || b.locked {
				t.Errorf("code %d, want %d; wrote %t, locked %t", got.code, tt.code, b.wrote, b.locked)
			}
			wantContains(t, "stdout", got.stdout, tt.stdout)
			for line := range strings.Lines(got.stdout) {
				if level, _, _ := strings.Cut(line, " "); level != "ok" && level != "warn" && level != "fail" {
					t.Errorf("line %q", line)
				}
			}
		})
	}
}
