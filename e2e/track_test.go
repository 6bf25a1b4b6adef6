package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// trackings are ways to have servers track another one, in the place of their check or beside it: HAProxy refuses both together. Each
// has the lines in the place of a server's.
var trackings = map[string]func(server, track string) string{
	"in the place of the check": func(server, track string) string { return strings.TrimSuffix(server, " check") + track },
	"beside the check":          func(server, track string) string { return server + track },
	"by default-server": func(server, track string) string {
		return "default-server" + track + "\n    " + strings.TrimSuffix(server, " check")
	},
	"by default-server, beside the check": func(server, track string) string { return "default-server" + track + "\n    " + server },
}

func TestAServerThatTracksHasNoCheckOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, lines := range trackings {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := startABC(t, h)
				server := "server server1 " + b.b1.addr + " cookie server1 check"
				operator(t, b.managedFile, server, lines(server, " track a.abc.com_cluster/server1"))
				if strings.Contains(name, "beside") {
					says(t, b.must(t, "sync").stdout, "b.abc.com_cluster/server1", "no check")
				} else {
					b.reload(t)
				}
				b.inLine(t)
				b.serves(t, "b.abc.com", "", b.b1)

				other := startHost(t, "other")
				b.register(t, "b.abc.com/server2", other.addr)
				b.must(t, "sync")
				b.inLine(t)
				b.serves(t, "b.abc.com", "server2", other)
				b.reload(t)
				b.inLine(t)
				b.serves(t, "b.abc.com", "server2", other)
				b.a1.end(t)
				eventually(t, "server1 is down with the one that it tracks", func() error {
					if a, err := get(b.web, "b.abc.com", "server1"); err != nil || a.body == b.b1.name {
						return fmt.Errorf("got %s, %w", a, err)
					}
					return nil
				})
				b.inLine(t)
			})
		})
	}
}
