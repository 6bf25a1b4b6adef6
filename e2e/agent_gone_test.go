package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestAgentRemovesAHostWhoseLeaseEndsFromHAProxy although a session is open: who is dead will not finish it.
func TestAgentRemovesAHostWhoseLeaseEndsFromHAProxy(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a, expired, end := startLeased(t, h)
		defer end()
		eventually(t, "the server is gone", func() error {
			reply, err := b.runtime("show servers state a.abc.com_cluster")
			if err == nil && strings.Contains(reply, " leased ") {
				err = fmt.Errorf("it is there:\n%s", reply)
			}
			return err
		})
		soonAfter(t, expired)
		b.comes(t, "a.abc.com", "server1", b.a1)
		b.settles(t)
		a.ready(t)
	})
}
