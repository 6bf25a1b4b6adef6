package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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
    server {
        listen %[2]s;
        default_type text/plain;
        location / { return 200 "%[3]s"; }
        location /slow { limit_rate 300; return 200 "%[4]s"; }
    }
}
`

// A host is an nginx that answers every request with its name, and those for /slow with longName, which takes 2 s.
type host struct {
	name string
	addr string // ip:port
	*process
}

func longName(name string) string { return (strings.Repeat(name+" ", 500))[:500] }

// startHost starts an nginx on a free port and returns when it answers. It ends with the test.
func startHost(t testing.TB, name string) *host {
	t.Helper()
	return startHostAt(t, name, freeAddr(t))
}

func startHostAt(t testing.TB, name, addr string) *host {
	t.Helper()
	h := &host{name: name, addr: addr}
	command := nginx(t, name, addr)
	h.process = startProcess(t, filepath.Join(t.TempDir(), "nginx.log"), command[0], command[1:]...)
	eventually(t, "nginx answers on "+addr, func() error {
		if err := h.running(); err != nil {
			t.Fatal(err)
		}
		got, err := get(addr, "localhost", "")
		if err == nil && got.body != name {
			t.Fatalf("%s: somebody else answers: %s", addr, got)
		}
		return err
	})
	return h
}

// nginx is the command that serves a name at an address.
func nginx(t testing.TB, name, addr string) []string {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, addr, name, longName(name)), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{lookPath(t, "nginx"), "-p", dir, "-c", conf}
}

// freeAddr is an address that nobody else is given until the test ends. A bound socket that does not listen holds it:
// nginx, which sets SO_REUSEADDR, and HAProxy, which sets SO_REUSEPORT too, can listen there all the same.
func freeAddr(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(name.(*unix.SockaddrInet4).Port))
}
