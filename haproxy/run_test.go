package haproxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func noParams(string) string { return "" }

func runtimeOf(p *proc) runtime { return runtime{socket: p.RuntimeSocket} }

// capabilities are those of the running process.
func capabilities(t *testing.T, r runtime) Capabilities {
	t.Helper()
	w, err := r.info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return CapabilitiesOf(w.Version)
}

// cookieOf is the name where a server that is added live can have a cookie.
func cookieOf(caps Capabilities, name string) string {
	if caps.CookieLive {
		return name
	}
	return ""
}

// servers are those of a backend of the process, as far as the process tells.
func servers(t *testing.T, r runtime, backend string) []Server {
	t.Helper()
	backends, err := r.backends(t.Context(), backend)
	if err != nil {
		t.Fatal(err)
	}
	var all []Server
	for _, b := range backends {
		for _, s := range b.Servers {
			all = append(all, s.Server)
		}
	}
	return all
}

func wantServers(t *testing.T, r runtime, backend string, want ...Server) {
	t.Helper()
	diff := cmp.Diff(want, servers(t, r, backend), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }))
	if diff != "" {
		t.Errorf("servers of %s (-want +have):\n%s", backend, diff)
	}
}

func TestAddedServersAreReadBackAsTheyWereWanted(t *testing.T) {
	t.Parallel()
	eachHAProxy(t, func(t *testing.T, bin string) {
		one := startHost(t, "one")
		p := startHAProxy(t, bin, "", fmt.Sprintf(twoDomains, one.Addr, one.Addr))
		r := runtimeOf(p)
		caps := capabilities(t, r)
		first := Server{Name: "server1", Addr: one.Addr, Cookie: "server1", Weight: 1, State: Ready}
		want := []Server{first}
		var changes []Change
		for i, s := range []Server{
			{Weight: 1, State: Ready},
			{Weight: 0, State: Ready, Check: true},
			{Weight: 256, MaxConn: 7, State: Drain},
			{Weight: 3, MaxConn: 7, State: Drain, Check: true},
			{Weight: 1, Backup: true, State: Maint},
			{Weight: 1, Backup: true, State: Maint, Check: true},
			{Weight: 1, Addr: netip.MustParseAddrPort("[::1]:81"), State: Ready},
		} {
			s.Name = fmt.Sprintf("server%d", i+2)
			s.Cookie = cookieOf(caps, s.Name)
			if !s.Addr.IsValid() {
				s.Addr = one.Addr
			}
			want = append(want, s)
			changes = append(changes, AddServer{backendB, s})
		}
		if err := r.run(t.Context(), caps, changes, noParams, time.Second); err != nil {
			t.Fatal(err)
		}
		wantServers(t, r, backendB, want...)
		if err := r.run(t.Context(), caps, changes, noParams, time.Second); err != nil {
			t.Errorf("the same once more: %v", err)
		}
		wantServers(t, r, backendB, want...)
		for _, s := range want[1:] {
			changes = append(changes, RemoveServer{Backend: backendB, Server: s})
		}
		if err := r.run(t.Context(), caps, changes[len(want)-1:], noParams, time.Second); err != nil {
			t.Fatal(err)
		}
		wantServers(t, r, backendB, first)
	})
}

func TestAnAddedServerTakesNoRequestBeforeItsFirstGoodCheck(t *testing.T) {
	t.Parallel()
	eachHAProxy(t, func(t *testing.T, bin string) {
		one, two := startHost(t, "one"), startHost(t, "two")
		p := startHAProxy(t, bin, "", fmt.Sprintf(twoDomains, one.Addr, one.Addr))
		r := runtimeOf(p)
		caps := capabilities(t, r)
		stop := p.load(t, "b.abc.com")
		good := Server{Name: "good", Addr: two.Addr, Cookie: cookieOf(caps, "good"), Check: true, Weight: 1, State: Ready}
		dead := Server{Name: "dead", Addr: deadAddr(t), Check: true, Weight: 256, State: Ready}
		changes := []Change{AddServer{backendB, good}, AddServer{backendB, dead}}
		if err := r.run(t.Context(), caps, changes, noParams, 0); err != nil {
			t.Error(err)
		}
		served := two.Served.Load()
		for range 4 {
			if status, _, err := p.fetch(t.Context(), "b.abc.com"); status != 200 {
				t.Errorf("status %d, %v", status, err)
			}
		}
		if two.Served.Load() == served {
			t.Error("the good server takes no requests when run returns")
		}
		cookie := &http.Cookie{Name: "SERVERID", Value: "good"}
		for range 4 {
			if _, body, err := p.fetch(t.Context(), "b.abc.com", cookie); caps.CookieLive && body != "two" {
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
	eachHAProxy(t, func(t *testing.T, bin string) {
		one := startHost(t, "one")
		p := startHAProxy(t, bin, "", fmt.Sprintf(twoDomains, one.Addr, one.Addr))
		r := runtimeOf(p)
		dead := deadAddr(t)
		p.must(t, "add server "+backendB+"/late "+dead.String()+" check inter 200ms weight 9")
		want := Server{Name: "late", Addr: dead, Check: true, Weight: 1, State: Ready}
		if err := r.run(t.Context(), capabilities(t, r), []Change{AddServer{backendB, want}}, noParams, 0); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if status, body, err := p.fetch(t.Context(), "b.abc.com"); body != "one" {
				t.Errorf("answer %d %q %v", status, body, err)
			}
		}
		eventually(t, "the server is checked", func() error {
			if line := p.must(t, "show stat "+backendB+" 4 -1"); !strings.Contains(line, "L4CON") {
				return fmt.Errorf("%q", line)
			}
			return nil
		})
	})
}

func TestASetServerIsAsItIsWanted(t *testing.T) {
	t.Parallel()
	eachHAProxy(t, func(t *testing.T, bin string) {
		one, two := startHost(t, "one"), startHost(t, "two")
		p := startHAProxy(t, bin, "", fmt.Sprintf(twoDomains, one.Addr, one.Addr))
		r := runtimeOf(p)
		caps, worker := capabilities(t, r), workerOf(t, p)
		have := server1(one.Addr)
		for _, want := range []Server{
			{Addr: two.Addr, Weight: 1, State: Ready},
			{Addr: two.Addr, Weight: 0, State: Drain},
			{Addr: two.Addr, Weight: 256, MaxConn: 3, State: Maint},
			{Addr: netip.MustParseAddrPort("[::1]:65535"), Weight: 1, State: Drain},
			{Addr: one.Addr, Weight: 1, State: Ready},
		} {
			want.Name, want.Cookie, want.Check = "server1", "server1", true
			if err := r.run(t.Context(), caps, []Change{SetServer{backendA, have, want}}, noParams, 0); err != nil {
				t.Fatal(err)
			}
			wantServers(t, r, backendA, want)
			have = want
		}
		if _, body, err := p.fetch(t.Context(), "a.abc.com"); body != "one" {
			t.Errorf("answer %q, %v", body, err)
		}
		if after := workerOf(t, p); after.Pid != worker.Pid {
			t.Error("there was a reload")
		}
	})
}

// deadAddr is an address where nobody listens.
func deadAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	return netip.MustParseAddrPort(freeAddr(t))
}
