package runtimeapi

import (
	"testing"

	"github.com/hapsync/hapsync/haproxy"
)

func TestTheStateOfAServerIsItsOwn(t *testing.T) {
	t.Parallel()
	for bits, want := range map[int]haproxy.ServerState{
		0x00: haproxy.Ready, 0x01: haproxy.Maint, 0x04: haproxy.Ready, 0x05: haproxy.Maint, 0x08: haproxy.Drain, 0x20: haproxy.Maint, 0x40: haproxy.Maint,
		0x02: haproxy.Ready, 0x10: haproxy.Ready, 0x0a: haproxy.Drain, 0x11: haproxy.Maint, // inherited
	} {
		if got := adminState(bits); got != want {
			t.Errorf("%#x is %s, want %s", bits, got, want)
		}
	}
}
