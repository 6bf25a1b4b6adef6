package e2e

import (
	"fmt"
	"net/http"
	"testing"
)

// TestAServerThatWasDownServesWhenItIsNoLongerChecked carries no health over the reload for a server that no check would take
// for well again.
func TestAServerThatWasDownServesWhenItIsNoLongerChecked(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		b.b1.end(t)
		eventually(t, "the checks hold the server down", func() error {
			if a, err := get(b.web, "b.abc.com", ""); err != nil || a.status != http.StatusServiceUnavailable {
				return fmt.Errorf("got %s, %w", a, err)
			}
			return nil
		})
		b.put(t, "b.abc.com/check", "off")
		b.must(t, "sync")
		again := startHostAt(t, "b.abc.com again", b.b1.addr)
		b.serves(t, "b.abc.com", "", again)
		b.inLine(t)
	})
}
