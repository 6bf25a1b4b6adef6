package driver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// patientBase never lets HAProxy's own checks bring a server up: only hapsync's first check can. HAProxy retries no request.
var patientBase = strings.Replace(haproxytest.PlainBase, "    mode http\n", `    mode http
    retries 0
    timeout check 500ms
    default-server inter 100ms fastinter 100ms downinter 100ms rise 10000 fall 3
`, 1)

// idleBase makes no check of HAProxy's own happen.
var idleBase = strings.ReplaceAll(patientBase, "100ms", "1h")

// checkedDomains have a TCP check and an HTTP check.
const checkedDomains = `frontend webin
    bind @ADDR@
    acl is_a.abc.com hdr(host) -i a.abc.com
    use_backend a.abc.com_cluster if is_a.abc.com
    acl is_b.abc.com hdr(host) -i b.abc.com
    use_backend b.abc.com_cluster if is_b.abc.com

backend a.abc.com_cluster
    balance roundrobin
    cookie SERVERID insert indirect nocache
    server server1 %[1]s cookie server1

backend b.abc.com_cluster
    balance roundrobin
    cookie SERVERID insert indirect nocache
    option httpchk
    http-check send meth GET uri /health?x=1 ver HTTP/1.1 hdr Host b.abc.com
    server server1 %[1]s cookie server1
`

// A checkedHAProxy is a HAProxy whose servers come up only by hapsync's first checks.
type checkedHAProxy struct {
	*haproxytest.Proc
	*Instance
	caps haproxy.Capabilities
}

func startChecked(t *testing.T, bin, base string, first *haproxytest.Host, s haproxy.Settings) checkedHAProxy {
	t.Helper()
	p := haproxytest.StartHAProxy(t, bin, base, fmt.Sprintf(checkedDomains, first.Addr))
	s.BaseFile, s.ManagedFile, s.Binary, s.Background = p.BaseFile, p.ManagedFile, bin, true
	h, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	st, err := h.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return checkedHAProxy{p, h, st.Capabilities}
}

// server is a server with a check.
func (c checkedHAProxy) server(name string, addr netip.AddrPort) haproxy.Server {
	s := haproxy.Server{Name: name, Addr: addr, Check: true, Weight: 1, State: haproxy.Ready}
	if c.caps.CookieLive {
		s.Cookie = name
	}
	return s
}

func (c checkedHAProxy) run(t *testing.T, changes ...haproxy.Change) {
	t.Helper()
	if err := c.Run(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

// serves waits until a host has answered requests for a domain.
func (c checkedHAProxy) serves(t *testing.T, domain string, h *haproxytest.Host) {
	t.Helper()
	haproxytest.Eventually(t, domain+" is served by "+h.Name, func() error {
		status, body, err := c.Fetch(t.Context(), domain)
		if err != nil || status != 200 || body != h.Name {
			return fmt.Errorf("status %d, %q, %w", status, body, err)
		}
		return nil
	})
}

// up are the servers of a domain that get traffic.
func (c checkedHAProxy) up(t *testing.T, domain string) (names []string) {
	t.Helper()
	servers, err := c.Servers(t.Context(), domain)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		if strings.HasPrefix(s.Status, "UP") {
			names = append(names, s.Name)
		}
	}
	return names
}

// startAnswering starts an HTTP server that answers every request, and ends with the test.
func startAnswering(t *testing.T, answer http.HandlerFunc) netip.AddrPort {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return netip.MustParseAddrPort(server.Listener.Addr().String())
}

// startAccepting accepts connections and calls a function with each.
func startAccepting(t *testing.T, each func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			each(conn.(*net.TCPConn))
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// badHosts are hosts that fail the HTTP check of b.abc.com, each in another way. All but the dead one accept connections.
func badHosts(t *testing.T) map[string]netip.AddrPort {
	t.Helper()
	return map[string]netip.AddrPort{
		"dead":   netip.MustParseAddrPort(haproxytest.FreeAddr(t)),
		"silent": startAccepting(t, func(*net.TCPConn) {}),
		"resets": startAccepting(t, func(c *net.TCPConn) { _ = errors.Join(c.SetLinger(0), c.Close()) }),
		"babble": startAccepting(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "220 ready\r\n") }),
		"failed": startAnswering(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }),
		"other": startAnswering(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Host == "b.abc.com" && r.URL.Path == "/health" && r.URL.RawQuery == "x=1" {
				w.WriteHeader(404)
			}
		}),
	}
}

func TestAProbeFailsWhereHAProxysCheckDoes(t *testing.T) {
	t.Parallel()
	hosts := badHosts(t)
	hosts["good"] = haproxytest.StartHost(t, "good").Addr
	for name, addr := range hosts {
		for path, good := range map[string]bool{"": name != "dead", "/health?x=1": name == "good"} {
			timeout := 20 * time.Second
			if name == "silent" && path != "" {
				timeout = 100 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			err := probe(ctx, addr, haproxy.HealthCheck{Host: "b.abc.com", Path: path})
			cancel()
			if reset := name == "resets" && path == ""; !reset && (err == nil) != good { // the reset may come before the connection is there
				t.Errorf("%s, check %q: %v", name, path, err)
			}
		}
	}
}

func TestOnlyServersThatPassTheirFirstCheckGetRequests(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one, two := haproxytest.StartHost(t, "one"), haproxytest.StartHost(t, "two")
		h := startChecked(t, bin, patientBase, one, haproxy.Settings{})
		bad := badHosts(t)
		changes := []haproxy.Change{
			haproxy.AddServer{Backend: haproxytest.BackendA, Server: h.server("dead", bad["dead"])},
			haproxy.AddServer{Backend: haproxytest.BackendA, Server: h.server("two", two.Addr)},
		}
		for name, addr := range bad {
			changes = append(changes, haproxy.AddServer{Backend: haproxytest.BackendB, Server: h.server(name, addr)})
		}
		changes = append(changes, haproxy.AddServer{Backend: haproxytest.BackendB, Server: h.server("two", two.Addr)})
		stopA, stopB := h.Load(t, "a.abc.com"), h.Load(t, "b.abc.com")
		h.run(t, changes...)
		h.serves(t, "a.abc.com", two)
		h.serves(t, "b.abc.com", two)
		h.firstChecks.running.Wait()
		for _, domain := range []string{"a.abc.com", "b.abc.com"} {
			if up := h.up(t, domain); len(up) != 1 || up[0] != "two" {
				t.Errorf("%s: %q are up, want two alone", domain, up)
			}
		}
		if err := errors.Join(stopA(), stopB()); err != nil {
			t.Errorf("a request failed: %v", err)
		}
	})
}

func TestAServerThatWasDownIsUpAtAnAddressThatPasses(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one, two := haproxytest.StartHost(t, "one"), haproxytest.StartHost(t, "two")
		h := startChecked(t, bin, patientBase, one, haproxy.Settings{})
		dead := h.server("two", netip.MustParseAddrPort(haproxytest.FreeAddr(t)))
		h.run(t, haproxy.AddServer{Backend: haproxytest.BackendA, Server: dead})
		haproxytest.Eventually(t, "HAProxy has checked the server", func() error {
			servers, err := h.Servers(t.Context(), "a.abc.com")
			if err != nil || !strings.HasPrefix(servers[1].Check, "L4CON") {
				return fmt.Errorf("%+v, %w", servers, err)
			}
			return nil
		})
		h.run(t, haproxy.SetServer{Backend: haproxytest.BackendA, Have: dead, Want: h.server("two", two.Addr)})
		h.serves(t, "a.abc.com", two)
	})
}

func TestAChangeOfAServerMakesItsFirstCheckCountNoMore(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one := haproxytest.StartHost(t, "one")
		h := startChecked(t, bin, idleBase, one, haproxy.Settings{})
		asked, answer := make(chan struct{}, 100), make(chan struct{})
		slow := startAnswering(t, func(http.ResponseWriter, *http.Request) {
			asked <- struct{}{}
			<-answer
		})
		live := h.server("two", slow)
		h.run(t, haproxy.AddServer{Backend: haproxytest.BackendB, Server: live})
		<-asked
		dead := h.server("two", netip.MustParseAddrPort(haproxytest.FreeAddr(t)))
		h.run(t, haproxy.SetServer{Backend: haproxytest.BackendB, Have: live, Want: dead})
		close(answer)
		h.firstChecks.running.Wait()
		if up := h.up(t, "b.abc.com"); len(up) > 0 {
			t.Errorf("%q are up at an address that nobody listens on", up)
		}
	})
}

func TestHAProxyMakesTheFirstCheckWhereItIsToldTo(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one := haproxytest.StartHost(t, "one")
		h := startChecked(t, bin, patientBase, one, haproxy.Settings{HAProxyChecksFirst: true})
		h.run(t, haproxy.AddServer{Backend: haproxytest.BackendA, Server: h.server("two", one.Addr)})
		h.firstChecks.running.Wait()
		if up := h.up(t, "a.abc.com"); len(up) > 0 {
			t.Errorf("%q are up", up)
		}
	})
}

func TestAnAnswerIsGoodAsHAProxyTakesIt(t *testing.T) {
	t.Parallel()
	for line, good := range map[string]bool{
		"HTTP/1.1 200 OK\r\n": true, "HTTP/1.0 204\r\n": true, "HTTP/1.1 399 x\n": true,
		"HTTP/1.1 199 x\r\n": false, "HTTP/1.1 400 x\r\n": false, "HTTP/1.1 503 x\r\n": false, "HTTP/1.1 2000 x\r\n": false,
		"HTTP/1.1 +20 x\r\n": false, "SSH-2.0-OpenSSH\r\n": false, "200 OK\r\n": false, "\n": false,
	} {
		if err := goodStatus(line, "200-399"); (err == nil) != good {
			t.Errorf("%q: %v", line, err)
		}
	}
	for line, good := range map[string]bool{
		"HTTP/1.1 200 OK\r\n": true, "HTTP/1.1 204 x\r\n": true, "HTTP/1.1 401 x\r\n": true,
		"HTTP/1.1 201 x\r\n": false, "HTTP/1.1 206 x\r\n": false, "HTTP/1.1 400 x\r\n": false, "HTTP/1.1 40 x\r\n": false,
	} {
		if err := goodStatus(line, "200,203-205,401"); (err == nil) != good {
			t.Errorf("%q with other codes: %v", line, err)
		}
	}
}

// startHearing starts a stats socket that answers nothing: it passes on each line, and closes the connection.
func startHearing(t *testing.T) (socket net.Listener, heard <-chan string) {
	t.Helper()
	l, err := net.Listen("unix", haproxytest.NewProc(t).RuntimeSocket)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(conn).ReadString('\n')
			lines <- line
			_ = conn.Close()
		}
	}()
	return l, lines
}

// TestANewServerIsUpWhenItIsThere adds a server whose host answers at once: no second conversation with HAProxy raises it.
func TestANewServerIsUpWhenItIsThere(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one, two := haproxytest.StartHost(t, "one"), haproxytest.StartHost(t, "two")
		c := startChecked(t, bin, idleBase, one, haproxy.Settings{})
		haproxytest.Eventually(t, "a new server is up when Run returns", func() error {
			name := fmt.Sprint("server", time.Now().UnixNano())
			c.run(t, haproxy.AddServer{Backend: haproxytest.BackendA, Server: c.server(name, two.Addr)})
			c.firstChecks.mu.Lock()
			late := len(c.firstChecks.current)
			c.firstChecks.mu.Unlock()
			if late > 0 { // a busy machine may take longer than the addition waits for a check
				return errors.New("the check of " + name + " is late")
			}
			if up := c.up(t, "a.abc.com"); !slices.Contains(up, name) {
				t.Fatalf("the check of %s is over, and up are %v", name, up)
			}
			return nil
		})
	})
}

// TestAnIdleServerIsGoneAfterOneRun removes a server with what the cache knows of it.
func TestAnIdleServerIsGoneAfterOneRun(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one := haproxytest.StartHost(t, "one")
		c := startChecked(t, bin, idleBase, one, haproxy.Settings{})
		s := c.server("server2", one.Addr)
		c.run(t, haproxy.AddServer{Backend: haproxytest.BackendA, Server: s})
		if _, ok := c.Recall("a.abc.com"); !ok {
			t.Fatal("the cache does not know the domain")
		}
		c.run(t, haproxy.RemoveServer{Backend: haproxytest.BackendA, Server: s})
		servers, err := c.Servers(t.Context(), "a.abc.com")
		if err != nil || slices.ContainsFunc(servers, func(s haproxy.ServerStatus) bool { return s.Name == "server2" }) {
			t.Errorf("it still has %v, %v", servers, err)
		}
	})
}

// TestFirstChecksThatEndDuringARaiseAreRaisedTogether lets checks end during a slow raise of other servers.
func TestFirstChecksThatEndDuringARaiseAreRaisedTogether(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	host := startAnswering(t, func(http.ResponseWriter, *http.Request) { <-answer })
	socket, heard := startHearing(t)
	checks, sent := newFirstChecks(), make(chan struct{})
	close(sent)
	const n = 30
	for i := range n {
		checks.start(t.Context(), &firstCheck{
			HealthCheck: haproxy.HealthCheck{Host: "a.abc.com", Path: "/", Timeout: time.Minute},
			key:         haproxy.ServerKey{Backend: fmt.Sprintf("d%02d.abc.com_cluster", i), Name: "server1"}, addr: host,
			socket: runtimeapi.Client{Socket: socket.Addr().String()}, good: make(chan bool, 1), sent: sent,
		})
	}
	checks.mu.Lock() // as a raise does
	close(answer)
	haproxytest.Eventually(t, "all checks have ended", func() error {
		checks.ended.Lock()
		defer checks.ended.Unlock()
		if got := len(checks.good); got != n {
			return fmt.Errorf("%d have", got)
		}
		return nil
	})
	checks.mu.Unlock()
	go func() {
		checks.running.Wait()
		_ = socket.Close()
	}()
	var lines []string
	for line := range heard {
		lines = append(lines, line)
	}
	if len(lines) != 1 || strings.Count(lines[0], "show servers state d") != n {
		t.Errorf("HAProxy was asked %d times, want once, for all:\n%q", len(lines), lines)
	}
}

// TestAFirstCheckThatIsForgottenRaisesNothing changes the server of one of two good checks while both still wait.
func TestAFirstCheckThatIsForgottenRaisesNothing(t *testing.T) {
	t.Parallel()
	host := haproxytest.StartHost(t, "host")
	socket, heard := startHearing(t)
	checks, sent := newFirstChecks(), make(chan struct{})
	close(sent)
	checks.places = make(chan struct{}, 1)
	checks.places <- struct{}{}
	for _, backend := range []string{haproxytest.BackendA, haproxytest.BackendB} {
		checks.start(t.Context(), &firstCheck{
			HealthCheck: haproxy.HealthCheck{Timeout: time.Minute}, key: haproxy.ServerKey{Backend: backend, Name: "server1"}, addr: host.Addr,
			socket: runtimeapi.Client{Socket: socket.Addr().String()}, good: make(chan bool, 1), sent: sent,
		})
	}
	checks.forget([]haproxy.Change{haproxy.SetServer{Backend: haproxytest.BackendA, Want: haproxy.Server{Name: "server1"}}})
	<-checks.places
	go func() {
		checks.running.Wait()
		_ = socket.Close()
	}()
	var all string
	for line := range heard {
		all += line
	}
	if strings.Contains(all, haproxytest.BackendA) || !strings.Contains(all, haproxytest.BackendB) {
		t.Errorf("HAProxy was asked %q", all)
	}
}
