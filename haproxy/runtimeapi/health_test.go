package runtimeapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// A sickHost fails HAProxy's checks, but would answer a request with its name.
type sickHost struct {
	Addr   netip.AddrPort
	Served atomic.Int64
}

func startSickHost(t *testing.T) *sickHost {
	t.Helper()
	h := &sickHost{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/check" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		h.Served.Add(1)
		_, _ = io.WriteString(w, "sick")
	}))
	t.Cleanup(server.Close)
	h.Addr = netip.MustParseAddrPort(server.Listener.Addr().String())
	return h
}

// healthBase loads the servers' health from the file "state".
func healthBase() string {
	base := strings.Replace(haproxytest.PlainBase, "nbthread 1", "nbthread 1\n    server-state-file @DIR@/state", 1)
	return base + "    load-server-state-from-file global\n"
}

const healthFile = `frontend webin
    bind @ADDR@
    default_backend b
backend b
    balance roundrobin
    option httpchk GET /check
    timeout check 10s
    server well %s check inter 100ms
    server sick %s check inter 100ms fall 1
`

// awaitDown waits until HAProxy has found the server b/sick down.
func awaitDown(t *testing.T, r Client) {
	t.Helper()
	haproxytest.Eventually(t, "b/sick is down", func() error {
		backends, err := r.backends(t.Context(), "b")
		if err == nil && backends[0].Servers[0].Status != "DOWN" {
			err = fmt.Errorf("it is %q", backends[0].Servers[0].Status)
		}
		return err
	})
}

// everyone keeps all lines.
func everyone(string, string, netip.AddrPort, bool) bool { return true }

func TestAServerKnownToBeDownGetsNoRequestAfterReloads(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		well, sick := haproxytest.StartHost(t, "well"), startSickHost(t)
		p := haproxytest.StartHAProxy(t, bin, healthBase(), fmt.Sprintf(healthFile, well.Addr, sick.Addr))
		awaitDown(t, runtimeOf(p))
		sick.Served.Store(0)
		for range 2 {
			health := Health([]byte(p.Must(t, "show servers state")), nil, everyone)
			if err := os.WriteFile(filepath.Join(p.Dir, "state"), health, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := reloaderOf(p).Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 6 {
				if status, body, err := p.Fetch(t.Context(), "b"); body != "well" {
					t.Errorf("answer %d %q %v", status, body, err)
				}
			}
		}
		if served := sick.Served.Load(); served != 0 {
			t.Errorf("the server that is down got %d requests", served)
		}
	})
}

func TestHealthDoesNotOverrideWhatTheConfigurationSays(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		well, sick, moved := haproxytest.StartHost(t, "well"), startSickHost(t), haproxytest.StartHost(t, "moved")
		p := haproxytest.StartHAProxy(t, bin, healthBase(), fmt.Sprintf(healthFile, well.Addr, sick.Addr))
		awaitDown(t, runtimeOf(p))
		p.Must(t, "set server b/sick weight 17;set server b/well state maint")
		p.Write(t, p.ManagedFile, fmt.Sprintf(healthFile, well.Addr, moved.Addr))
		health := Health([]byte(p.Must(t, "show servers state")), nil, func(backend, server string, addr netip.AddrPort, _ bool) bool {
			return backend == "b" && server == "sick" && addr == moved.Addr
		})
		if err := os.WriteFile(filepath.Join(p.Dir, "state"), health, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := reloaderOf(p).Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantServers(t, runtimeOf(p), "b",
			haproxy.Server{Name: "sick", Addr: moved.Addr, Check: true, Weight: 1, State: haproxy.Ready},
			haproxy.Server{Name: "well", Addr: well.Addr, Check: true, Weight: 1, State: haproxy.Ready})
		for range 4 {
			if status, _, err := p.Fetch(t.Context(), "b"); status != 200 {
				t.Errorf("answer %d %v", status, err)
			}
		}
		if moved.Served.Load() == 0 {
			t.Error("the server got no request at its new address")
		}
	})
}

func TestOnlyTheHealthOfServersThatChecksHoldDownIsKept(t *testing.T) {
	t.Parallel()
	const rest = " - 80 - 0 0 - - 0\n"
	reply := NoHealth +
		"4 b 1 down 10.0.0.1 0 0 9 2 4 8 2 0 6 0 0 0" + rest +
		"4 b 2 drained 10.0.0.1 0 8 1 1 4 8 2 0 6 0 0 0" + rest +
		"4 b 3 disabled-once 10.0.0.1 0 4 1 1 4 8 2 0 6 0 0 0" + rest +
		"4 b 4 up 10.0.0.1 2 0 1 1 4 6 3 4 6 0 0 0" + rest +
		"4 b 5 maint 10.0.0.1 0 1 1 1 4 8 2 0 14 0 0 0" + rest +
		"4 b 6 unchecked 10.0.0.1 0 0 1 1 4 1 0 0 0 0 0 0" + rest +
		"4 b 7 not-kept 10.0.0.2 0 0 1 1 4 8 2 0 6 0 0 0" + rest +
		"4 b 8 no-address - 0 0 1 1 4 8 2 0 6 0 0 0" + rest +
		"4 b 9 cut 10.0.0.1 0\n\n"
	want := NoHealth +
		"4 b 1 down 10.0.0.1 0 0 2 2 4 8 2 0 6 0 0 0" + rest +
		"4 b 2 drained 10.0.0.1 0 0 1 1 4 8 2 0 6 0 0 0" + rest +
		"4 b 3 disabled-once 10.0.0.1 0 0 1 1 4 8 2 0 6 0 0 0" + rest
	have := Health([]byte(reply), nil, func(_, _ string, addr netip.AddrPort, _ bool) bool {
		return addr == netip.MustParseAddrPort("10.0.0.1:80")
	})
	if string(have) != want {
		t.Errorf("have\n%s\nwant\n%s", have, want)
	}
}
