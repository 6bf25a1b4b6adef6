package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

func noParams(string) string { return "" }

// backends is Look without the worker.
func (r Client) backends(ctx context.Context, names ...string) ([]Backend, error) {
	_, backends, err := r.Look(ctx, names...)
	return backends, err
}

// run makes changes as the driver does: it checks them, and compares them with the process.
func (r Client) run(
	ctx context.Context, caps haproxy.Capabilities, changes []haproxy.Change, params func(backend string) string, drain time.Duration,
) error {
	changes, refused, err := Safe(changes, params)
	if err != nil || len(refused) > 0 {
		return errors.Join(err, withoutCommand(refused))
	}
	_, live, err := r.View(ctx, changes)
	if err != nil {
		return err
	}
	_, err = r.CarryOut(ctx, Commands{Capabilities: caps, Params: params}, changes, live, drain)
	return err
}

func withoutCommand(refused []haproxy.Failure) error {
	if len(refused) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s", refused[0].Change, refused[0].Reply)
}

func runtimeOf(p *haproxytest.Proc) Client { return Client{Socket: p.RuntimeSocket} }

// capabilities are those of the running process.
func capabilities(t *testing.T, r Client) haproxy.Capabilities {
	t.Helper()
	w, err := r.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return haproxy.CapabilitiesOf(w.Version)
}

// cookieOf is the name if a server that is added live can have a cookie, else empty.
func cookieOf(caps haproxy.Capabilities, name string) string {
	if caps.CookieLive {
		return name
	}
	return ""
}

// servers are the servers of a backend of the process, as the process shows them.
func servers(t *testing.T, r Client, backend string) []haproxy.Server {
	t.Helper()
	backends, err := r.backends(t.Context(), backend)
	if err != nil {
		t.Fatal(err)
	}
	var all []haproxy.Server
	for _, b := range backends {
		for _, s := range b.Servers {
			all = append(all, s.Server)
		}
	}
	return all
}

func wantServers(t *testing.T, r Client, backend string, want ...haproxy.Server) {
	t.Helper()
	diff := cmp.Diff(want, servers(t, r, backend), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }))
	if diff != "" {
		t.Errorf("servers of %s (-want +have):\n%s", backend, diff)
	}
}

func TestAddedServersAreReadBackAsTheyWereWanted(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one := haproxytest.StartHost(t, "one")
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, one.Addr, one.Addr))
		r := runtimeOf(p)
		caps := capabilities(t, r)
		first := haproxy.Server{Name: "server1", Addr: one.Addr, Cookie: "server1", Weight: 1, State: haproxy.Ready}
		want := []haproxy.Server{first}
		var changes []haproxy.Change
		for i, s := range []haproxy.Server{
			{Weight: 1, State: haproxy.Ready},
			{Weight: 0, State: haproxy.Ready, Check: true},
			{Weight: 256, MaxConn: 7, State: haproxy.Drain},
			{Weight: 3, MaxConn: 7, State: haproxy.Drain, Check: true},
			{Weight: 1, Backup: true, State: haproxy.Maint},
			{Weight: 1, Backup: true, State: haproxy.Maint, Check: true},
			{Weight: 1, Addr: netip.MustParseAddrPort("[::1]:81"), State: haproxy.Ready},
		} {
			s.Name = fmt.Sprintf("server%d", i+2)
			s.Cookie = cookieOf(caps, s.Name)
			if !s.Addr.IsValid() {
				s.Addr = one.Addr
			}
			want = append(want, s)
			changes = append(changes, haproxy.AddServer{Backend: haproxytest.BackendB, Server: s})
		}
		if err := r.run(t.Context(), caps, changes, noParams, time.Second); err != nil {
			t.Fatal(err)
		}
		wantServers(t, r, haproxytest.BackendB, want...)
		if err := r.run(t.Context(), caps, changes, noParams, time.Second); err != nil {
			t.Errorf("the same once more: %v", err)
		}
		wantServers(t, r, haproxytest.BackendB, want...)
		for _, s := range want[1:] {
			changes = append(changes, haproxy.RemoveServer{Backend: haproxytest.BackendB, Server: s})
		}
		if err := r.run(t.Context(), caps, changes[len(want)-1:], noParams, time.Second); err != nil {
			t.Fatal(err)
		}
		wantServers(t, r, haproxytest.BackendB, first)
	})
}

func TestAnAddedServerTakesNoRequestBeforeItsFirstGoodCheck(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one, two := haproxytest.StartHost(t, "one"), haproxytest.StartHost(t, "two")
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, one.Addr, one.Addr))
		r := runtimeOf(p)
		caps := capabilities(t, r)
		stop := p.Load(t, "b.abc.com")
		good := haproxy.Server{Name: "good", Addr: two.Addr, Cookie: cookieOf(caps, "good"), Check: true, Weight: 1, State: haproxy.Ready}
		dead := haproxy.Server{Name: "dead", Addr: deadAddr(t), Check: true, Weight: 256, State: haproxy.Ready}
		changes := []haproxy.Change{haproxy.AddServer{Backend: haproxytest.BackendB, Server: good}, haproxy.AddServer{Backend: haproxytest.BackendB, Server: dead}}
		if err := r.run(t.Context(), caps, changes, noParams, 0); err != nil {
			t.Error(err)
		}
		served := two.Served.Load()
		for range 4 {
			if status, _, err := p.Fetch(t.Context(), "b.abc.com"); status != 200 {
				t.Errorf("status %d, %v", status, err)
			}
		}
		if two.Served.Load() == served {
			t.Error("the good server takes no requests when run returns")
		}
		cookie := &http.Cookie{Name: "SERVERID", Value: "good"}
		for range 4 {
			if _, body, err := p.Fetch(t.Context(), "b.abc.com", cookie); caps.CookieLive && body != "two" {
				t.Errorf("the new cookie leads to %q, %v", body, err)
			}
		}
		if failed := stop(); failed != nil {
			t.Errorf("failed under load: %v", failed)
		}
	})
}

func TestAServerThatWasLeftHalfWayIsCompleted(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one := haproxytest.StartHost(t, "one")
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, one.Addr, one.Addr))
		r := runtimeOf(p)
		dead := deadAddr(t)
		p.Must(t, "add server "+haproxytest.BackendB+"/late "+dead.String()+" check inter 200ms weight 9")
		want := haproxy.Server{Name: "late", Addr: dead, Check: true, Weight: 1, State: haproxy.Ready}
		if err := r.run(t.Context(), capabilities(t, r), []haproxy.Change{haproxy.AddServer{Backend: haproxytest.BackendB, Server: want}}, noParams, 0); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if status, body, err := p.Fetch(t.Context(), "b.abc.com"); body != "one" {
				t.Errorf("answer %d %q %v", status, body, err)
			}
		}
		haproxytest.Eventually(t, "the server is checked", func() error {
			if line := p.Must(t, "show stat "+haproxytest.BackendB+" 4 -1"); !strings.Contains(line, "L4CON") {
				return fmt.Errorf("%q", line)
			}
			return nil
		})
	})
}

func TestASetServerIsAsItIsWanted(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one, two := haproxytest.StartHost(t, "one"), haproxytest.StartHost(t, "two")
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, one.Addr, one.Addr))
		r := runtimeOf(p)
		caps, worker := capabilities(t, r), workerOf(t, p)
		have := server1(one.Addr)
		for _, want := range []haproxy.Server{
			{Addr: two.Addr, Weight: 1, State: haproxy.Ready},
			{Addr: two.Addr, Weight: 0, State: haproxy.Drain},
			{Addr: two.Addr, Weight: 256, MaxConn: 3, State: haproxy.Maint},
			{Addr: netip.MustParseAddrPort("[::1]:65535"), Weight: 1, State: haproxy.Drain},
			{Addr: one.Addr, Weight: 1, State: haproxy.Ready},
		} {
			want.Name, want.Cookie, want.Check = "server1", "server1", true
			if err := r.run(t.Context(), caps, []haproxy.Change{haproxy.SetServer{Backend: haproxytest.BackendA, Have: have, Want: want}}, noParams, 0); err != nil {
				t.Fatal(err)
			}
			wantServers(t, r, haproxytest.BackendA, want)
			have = want
		}
		if _, body, err := p.Fetch(t.Context(), "a.abc.com"); body != "one" {
			t.Errorf("answer %q, %v", body, err)
		}
		if after := workerOf(t, p); after.Pid != worker.Pid {
			t.Error("there was a reload")
		}
	})
}

// deadAddr is an address on which nothing listens.
func deadAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	return netip.MustParseAddrPort(haproxytest.FreeAddr(t))
}
