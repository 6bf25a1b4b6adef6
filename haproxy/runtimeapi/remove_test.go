package runtimeapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// A heldHost answers no request before it is released.
type heldHost struct {
	Addr    netip.AddrPort
	arrived chan struct{}
	release chan struct{}
}

func startHeldHost(t *testing.T) *heldHost {
	t.Helper()
	h := &heldHost{arrived: make(chan struct{}, 10), release: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.arrived <- struct{}{}
		select {
		case <-h.release:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "held")
	}))
	t.Cleanup(server.Close)
	h.Addr = netip.MustParseAddrPort(server.Listener.Addr().String())
	return h
}

// request makes one request in the background. The channel gets its body when the host answers.
func (h *heldHost) request(t *testing.T, p *haproxytest.Proc) <-chan string {
	t.Helper()
	answer := make(chan string, 1)
	go func() {
		status, body, err := p.Fetch(t.Context(), "a.abc.com")
		answer <- fmt.Sprintf("%d %s %v", status, body, err)
	}()
	select {
	case <-h.arrived:
	case <-time.After(10 * time.Second):
		t.Fatal("the request did not arrive")
	}
	return answer
}

// server1 is the server1 of twoDomains in a.abc.com's backend.
func server1(addr netip.AddrPort) haproxy.Server {
	return haproxy.Server{Name: "server1", Addr: addr, Cookie: "server1", Check: true, Weight: 1, State: haproxy.Ready}
}

func TestARemovedServerFinishesItsRequests(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		h := startHeldHost(t)
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, h.Addr, h.Addr))
		r := runtimeOf(p)
		caps := capabilities(t, r)
		answer := h.request(t, p)
		done := make(chan error, 1)
		go func() {
			done <- r.run(t.Context(), caps, []haproxy.Change{haproxy.RemoveServer{Backend: haproxytest.BackendA, Server: server1(h.Addr)}}, noParams, 10*time.Second)
		}()
		haproxytest.Eventually(t, "the server drains", func() error {
			if have := servers(t, r, haproxytest.BackendA); len(have) != 1 || have[0].State != haproxy.Drain {
				return fmt.Errorf("servers %v", have)
			}
			return nil
		})
		close(h.release)
		if got := <-answer; got != "200 held <nil>" {
			t.Errorf("answer %q", got)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		wantServers(t, r, haproxytest.BackendA)
	})
}

func TestAServerThatKeepsASessionStaysInMaintenanceAndIsReported(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		h := startHeldHost(t)
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, h.Addr, h.Addr))
		r := runtimeOf(p)
		caps := capabilities(t, r)
		answer := h.request(t, p)
		gone := haproxy.RemoveServer{Backend: haproxytest.BackendB, Server: haproxy.Server{Name: "server1"}}
		kept := haproxy.RemoveServer{Backend: haproxytest.BackendA, Server: server1(h.Addr)}
		err := r.run(t.Context(), caps, []haproxy.Change{kept, gone}, noParams, 100*time.Millisecond)
		var refused *haproxy.RunError
		isRefused := errors.As(err, &refused) && errors.Is(err, haproxy.ErrRefused)
		if !isRefused || len(refused.Failures) != 1 || refused.Failures[0].Change != haproxy.Change(kept) {
			t.Fatalf("error %v", err)
		}
		if reply := refused.Failures[0].Reply; !strings.Contains(reply, "connections") || !strings.Contains(reply, "stays in maintenance") {
			t.Errorf("reply %q", reply)
		}
		if have := servers(t, r, haproxytest.BackendA); len(have) != 1 || have[0].State != haproxy.Maint {
			t.Errorf("servers %v", have)
		}
		wantServers(t, r, haproxytest.BackendB)
		close(h.release)
		if got := <-answer; got != "200 held <nil>" {
			t.Errorf("answer %q", got)
		}
		if err := r.run(t.Context(), caps, []haproxy.Change{kept}, noParams, time.Second); err != nil {
			t.Errorf("later: %v", err)
		}
		wantServers(t, r, haproxytest.BackendA)
	})
}

func TestIdleConnectionsDoNotHinderARemoval(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		h := startHeldHost(t)
		base := strings.Replace(haproxytest.PlainBase, "nbthread 1", "nbthread 2", 1)
		managed := strings.ReplaceAll(haproxytest.TwoDomains, "balance roundrobin", "balance roundrobin\n    http-reuse always")
		p := haproxytest.StartHAProxy(t, bin, base, fmt.Sprintf(managed, h.Addr, h.Addr))
		r := runtimeOf(p)
		answers := []<-chan string{h.request(t, p), h.request(t, p), h.request(t, p)}
		close(h.release)
		for _, answer := range answers {
			<-answer
		}
		if idle := idleConnections(t, p, haproxytest.BackendA+"/server1"); idle == "0" {
			t.Fatal("there are no idle connections")
		}
		err := r.run(t.Context(), capabilities(t, r), []haproxy.Change{haproxy.RemoveServer{Backend: haproxytest.BackendA, Server: server1(h.Addr)}}, noParams, 5*time.Second)
		if err != nil {
			t.Error(err)
		}
		wantServers(t, r, haproxytest.BackendA)
	})
}

// idleConnections is how many idle connections HAProxy keeps to a server.
func idleConnections(t *testing.T, p *haproxytest.Proc, server string) string {
	t.Helper()
	lines := strings.Split(p.Must(t, "show servers conn"), "\n")
	column := slices.Index(strings.Fields(strings.TrimPrefix(lines[0], "# ")), "idle_cur")
	for _, line := range lines {
		if words := strings.Fields(line); len(words) > column && words[0] == server {
			return words[column]
		}
	}
	t.Fatalf("no idle connections of %s in %q", server, lines)
	return ""
}

func TestAServerThatOthersPointToIsReportedWithoutWaiting(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one := haproxytest.StartHost(t, "one")
		managed := fmt.Sprintf(haproxytest.TwoDomains, one.Addr, one.Addr) + "    use-server server1 if TRUE\n"
		p := haproxytest.StartHAProxy(t, bin, "", managed)
		r := runtimeOf(p)
		change := haproxy.RemoveServer{Backend: haproxytest.BackendB, Server: haproxy.Server{Name: "server1"}}
		err := r.run(t.Context(), capabilities(t, r), []haproxy.Change{change}, noParams, time.Minute)
		if err == nil || !strings.Contains(err.Error(), "cannot be removed at runtime") {
			t.Errorf("error %v", err)
		}
	})
}
