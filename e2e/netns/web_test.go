package netns

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

const nginxConf = `daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 512; }
http {
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    server { listen 80; location / { return 200 "%[2]s"; } }
}
`

// A web is a machine with an nginx that answers with the machine's name.
type web struct {
	*machine
	nginx *process
}

func newWeb(t *testing.T, n *network, name string, number int) *web {
	t.Helper()
	w := &web{machine: n.machine(t, name, number)}
	dir := t.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, name), 0o644); err != nil {
		t.Fatal(err)
	}
	w.nginx = w.start(t, nil, "nginx", "-p", dir, "-c", conf)
	eventually(t, "nginx answers on "+name, func() error {
		if err := w.nginx.running(); err != nil {
			t.Fatal(err)
		}
		a, err := get(w.machine, w.ip, "localhost", "")
		if err == nil && (a.status != http.StatusOK || a.body != name) {
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
