package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
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

// TestACheckThatIsTurnedOffOnTheSocketIsTurnedOnWithoutAReload has an operator's "disable health".
func TestACheckThatIsTurnedOffOnTheSocketIsTurnedOnWithoutAReload(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		w := startWatch(t, b.box)
		if reply, err := b.runtime("disable health b.abc.com_cluster/server1"); err != nil || strings.TrimSpace(reply) != "" {
			t.Fatal(reply, err)
		}
		o := b.must(t, "sync")
		says(t, o.stdout, "runtime ", "~ server b.abc.com_cluster/server1", "no check ->")
		b.notReloaded(t, w.serving)
		b.inLine(t)
		b.b1.end(t)
		eventually(t, "the check finds the host down", func() error {
			if status, _ := b.stat("b.abc.com_cluster", "server1", "status"); status != "DOWN" {
				return errors.New(status)
			}
			return nil
		})

		if reply, err := b.runtime("disable health a.abc.com_cluster/server2"); err != nil || strings.TrimSpace(reply) != "" {
			t.Fatal(reply, err)
		}
		b.put(t, "a.abc.com/server2/weight", "7")
		b.must(t, "sync")
		b.gives(t, "a.abc.com", "server2", "weight=7 maxconn= backup=0")
		b.notReloaded(t, w.serving)
		b.inLine(t)
	})
}
