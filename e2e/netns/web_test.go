package netns

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// A web is a machine with an nginx that answers with the machine's name.
type web struct {
	*machine
	nginx *harness.Process
}

func newWeb(t *testing.T, n *network, name string, number int) *web {
	t.Helper()
	w := &web{machine: n.machine(t, name, number)}
	command := harness.Nginx(t, name, "80")
	w.nginx = w.start(t, nil, command[0], command[1:]...)
	w.nginx.Eventually(t, "nginx answers on "+name, func() error {
		a, err := get(w.machine, w.ip, "localhost", "")
		if err == nil && (a.Status != http.StatusOK || a.Body != name) {
			err = fmt.Errorf("got %s", a)
		}
		return err
	})
	return w
}

// register starts a hapsync register of a host of a domain beside the web server.
func (w *web) register(t *testing.T, e *etcd, domain, host string) {
	t.Helper()
	w.start(t, nil, programs.hapsync, "register", "--domain", domain, "--host", host, "--ip", w.ip, "--port", "80",
		"--endpoints", e.endpoints())
}
