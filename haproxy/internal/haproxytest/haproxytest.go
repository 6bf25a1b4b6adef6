// Package haproxytest starts real HAProxies for the tests of haproxy and the packages below it.
package haproxytest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/haproxy"
)

// PlainBase is the base file that StartHAProxy uses instead of an empty one.
const PlainBase = `global
    stats socket @DIR@/haproxy.sock mode 600 level admin expose-fd listeners
    maxconn 1000
    nbthread 1
    httpclient.ssl.verify none
    hard-stop-after 10s

defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    option idle-close-on-response
`

// TwoDomains is a managed file with two domains, each with one server.
const TwoDomains = `frontend webin
    bind @ADDR@
    acl is_a.abc.com hdr(host) -i a.abc.com
    use_backend a.abc.com_cluster if is_a.abc.com
    acl is_b.abc.com hdr(host) -i b.abc.com
    use_backend b.abc.com_cluster if is_b.abc.com

backend a.abc.com_cluster
    balance roundrobin
    cookie SERVERID insert indirect nocache
    server server1 %s cookie server1 check

backend b.abc.com_cluster
    balance roundrobin
    cookie SERVERID insert indirect nocache
    server server1 %s cookie server1
`

// The backends of TwoDomains.
const (
	BackendA = "a.abc.com_cluster"
	BackendB = "b.abc.com_cluster"
)

// A Proc is a HAProxy in master-worker mode that belongs to one test.
type Proc struct {
	// Dir has the files and sockets. Its name is short, since a socket's path may have 107 bytes.
	Dir, RuntimeSocket, MasterSocket, BaseFile, ManagedFile string
	// Addr is a TCP address for a frontend: @ADDR@ in the texts.
	Addr string
	// Under is a command that runs HAProxy, Args are more arguments of HAProxy.
	Under, Args []string
}

// EachHAProxy runs f, in parallel, for each binary of HAPROXY_BINARIES (separated by colons; "haproxy" of PATH without it).
func EachHAProxy(t *testing.T, f func(t *testing.T, bin string)) {
	t.Helper()
	for _, bin := range binaries(t) {
		t.Run(VersionOf(t, bin).String(), func(t *testing.T) {
			t.Parallel()
			f(t, bin)
		})
	}
}

// FirstHAProxy is the first of the binaries, for tests that do not depend on the version.
func FirstHAProxy(t *testing.T) string {
	t.Helper()
	return binaries(t)[0]
}

func binaries(t *testing.T) []string {
	t.Helper()
	var bins []string
	for name := range strings.SplitSeq(cmp.Or(os.Getenv("HAPROXY_BINARIES"), "haproxy"), ":") {
		bin, err := exec.LookPath(name)
		if err != nil {
			t.Fatalf("%v: the tests need HAProxy; name its binaries in HAPROXY_BINARIES", err)
		}
		bins = append(bins, bin)
	}
	return bins
}

// VersionOf is the version that the binary prints.
func VersionOf(t *testing.T, bin string) haproxy.Version {
	t.Helper()
	out, err := exec.Command(bin, "-v").Output()
	if err != nil {
		t.Fatalf("%s -v: %v", bin, err)
	}
	_, rest, _ := strings.Cut(string(out), "version ")
	version, err := haproxy.ParseVersion(rest)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// StartHAProxy starts bin with the two files. In both texts @DIR@ stands for the
// directory and @ADDR@ for a free address; an empty base means PlainBase. The process ends with the test.
func StartHAProxy(t *testing.T, bin, base, managed string) *Proc {
	t.Helper()
	p := NewProc(t)
	p.Write(t, p.BaseFile, base)
	p.Write(t, p.ManagedFile, managed)
	p.Start(t, bin)
	return p
}

// NewProc is a directory and an address for a HAProxy that does not run yet.
func NewProc(t *testing.T) *Proc {
	t.Helper()
	dir, err := os.MkdirTemp("", "hap")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &Proc{
		Dir:           dir,
		RuntimeSocket: filepath.Join(dir, "haproxy.sock"),
		MasterSocket:  filepath.Join(dir, "master.sock"),
		BaseFile:      filepath.Join(dir, "haproxy.cfg"),
		ManagedFile:   filepath.Join(dir, "hapsync.cfg"),
		Addr:          FreeAddr(t),
	}
}

// Write fills in a text and makes it the content of the file.
func (p *Proc) Write(t *testing.T, file, text string) {
	t.Helper()
	if text == "" && file == p.BaseFile {
		text = PlainBase
	}
	text = strings.NewReplacer("@DIR@", p.Dir, "@ADDR@", p.Addr).Replace(text)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // a file of a test
		t.Fatal(err)
	}
}

// Start runs bin with the two files, and returns when it answers. Its process group is killed at the end of the test.
func (p *Proc) Start(t *testing.T, bin string) {
	t.Helper()
	output, err := os.Create(filepath.Join(p.Dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	args := slices.Concat(p.Under, []string{bin, "-W", "-S", p.MasterSocket, "-f", p.BaseFile, "-f", p.ManagedFile}, p.Args)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		_ = output.Close()
		if text, _ := os.ReadFile(output.Name()); t.Failed() {
			t.Logf("%s printed:\n%s", bin, text)
		}
	})
	Eventually(t, "HAProxy answers on "+p.RuntimeSocket, func() error {
		select {
		case <-ended:
			text, _ := os.ReadFile(output.Name())
			t.Fatalf("%s ended: %s\n%s", bin, cmd.ProcessState, text)
		default:
		}
		reply, err := p.ask("show info")
		if err == nil && !strings.Contains(reply, "Pid:") {
			err = fmt.Errorf("reply %q", reply)
		}
		return err
	})
}

// ask sends one line to the stats socket, without the code under test.
func (p *Proc) ask(line string) (string, error) {
	conn, err := net.DialTimeout("unix", p.RuntimeSocket, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", err
	}
	reply, err := io.ReadAll(conn)
	return string(reply), err
}

// Must is ask; an error ends the test.
func (p *Proc) Must(t *testing.T, line string) string {
	t.Helper()
	reply, err := p.ask(line)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return reply
}

// Fetch makes one request on a new connection, and returns the status and the body, which is the name of the host.
func (p *Proc) Fetch(ctx context.Context, domain string, cookies ...*http.Cookie) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Addr+"/", nil)
	if err != nil {
		return 0, "", err
	}
	req.Host, req.Close = domain, true
	for _, cookie := range cookies {
		req.AddCookie(cookie)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// A Host is an HTTP server that answers with its own name.
type Host struct {
	Name   string
	Addr   netip.AddrPort
	Served atomic.Int64
}

// StartHost starts a host that ends with the test.
func StartHost(t *testing.T, name string) *Host {
	t.Helper()
	h := &Host{Name: name}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h.Served.Add(1)
		_, _ = io.WriteString(w, name)
	}))
	t.Cleanup(server.Close)
	h.Addr = netip.MustParseAddrPort(server.Listener.Addr().String())
	return h
}

// FreeAddr is an address that no other process gets until the test ends: a bound socket that does not listen holds it. HAProxy binds with
// SO_REUSEPORT, so it can listen there.
func FreeAddr(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	err = errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), // before the option: with it, it may get a port that another test has
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	if err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

// Eventually calls try until it succeeds. After 20 s its last error fails the test.
func Eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: not in time: %v", what, err)
		case <-poll.C:
		}
	}
}

// Load makes requests one after the other until stop is called. stop returns the first failure.
func (p *Proc) Load(t *testing.T, domain string) (stop func() error) {
	t.Helper()
	quit, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			status, body, err := p.Fetch(context.WithoutCancel(t.Context()), domain)
			if err != nil || status != 200 {
				failed <- fmt.Errorf("status %d, body %q, %w", status, body, err)
				return
			}
			select {
			case <-quit:
				failed <- nil
				return
			default:
			}
		}
	}()
	return func() error {
		close(quit)
		return <-failed
	}
}
