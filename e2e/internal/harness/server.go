package harness

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
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

// Nginx is the command of an nginx that answers every request with a name, and those for /slow with LongName, which takes
// 2 s. listen is as nginx takes it.
func Nginx(t testing.TB, name, listen string) []string {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, listen, name, LongName(name)), 0o644); err != nil { //nolint:gosec // a file of a test
		t.Fatal(err)
	}
	return []string{LookPath(t, "nginx"), "-p", dir, "-c", conf}
}

// LongName is what an nginx with the name answers slowly.
func LongName(name string) string { return strings.Repeat(name+" ", 500)[:500] }

// FreeAddr is an address that no other test is given until this one ends. A bound socket that does not listen holds it:
// nginx and Docker, which set SO_REUSEADDR, and HAProxy, which sets SO_REUSEPORT too, can listen there all the same.
func FreeAddr(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), // before the options: with them it may get a port that another test has
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
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

// A HAProxy is a binary to test with.
type HAProxy struct {
	Path    string
	Version int // 302 for 3.2
}

func (h HAProxy) String() string { return fmt.Sprintf("%d.%d", h.Version/100, h.Version%100) }

// HAProxies are the binaries of HAPROXY_BINARIES (separated by colons; haproxy of PATH without it).
func HAProxies(t testing.TB) (all []HAProxy) {
	t.Helper()
	for name := range strings.SplitSeq(cmp.Or(os.Getenv("HAPROXY_BINARIES"), "haproxy"), ":") {
		all = append(all, HAProxyOf(t, name))
	}
	return all
}

// known are the binaries that have said their version: each is asked once.
var known sync.Map

// HAProxyOf is the binary of a path, or of PATH.
func HAProxyOf(t testing.TB, name string) HAProxy {
	t.Helper()
	path := LookPath(t, name)
	if h, ok := known.Load(path); ok {
		return h.(HAProxy)
	}
	out, err := exec.CommandContext(t.Context(), path, "-v").Output()
	if err != nil {
		t.Fatalf("%s -v: %v", path, err)
	}
	found := regexp.MustCompile(`version (\d+)\.(\d+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("%s -v: no version in %q", path, out)
	}
	major, _ := strconv.Atoi(string(found[1]))
	minor, _ := strconv.Atoi(string(found[2]))
	h := HAProxy{path, 100*major + minor}
	known.Store(path, h)
	return h
}
