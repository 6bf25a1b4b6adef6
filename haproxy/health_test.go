package haproxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
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
	base := strings.Replace(plainBase, "nbthread 1", "nbthread 1\n    server-state-file @DIR@/state", 1)
	return base + "    load-server-state-from-file global\n"
}

const healthFile = `frontend webin
    bind @ADDR@
    default_backend b
backend b
    balance roundrobin
    option httpchk GET /check
    server well %s check inter 100ms
    server sick %s check inter 100ms fall 1
`

// awaitDown waits until HAProxy has found the server b/sick down.
func awaitDown(t *testing.T, r runtime) {
	t.Helper()
	eventually(t, "b/sick is down", func() error {
		backends, err := r.backends(t.Context(), "b")
		if err == nil && backends[0].Servers[0].Status != "DOWN" {
			err = fmt.Errorf("it is %q", backends[0].Servers[0].Status)
		}
		return err
	})
}

// everyone keeps all lines.
func everyone(string, string, netip.AddrPort) bool { return true }

func TestAServerKnownToBeDownGetsNoRequestAfterReloads(t *testing.T) {
	t.Parallel()
	eachHAProxy(t, func(t *testing.T, bin string) {
		well, sick := startHost(t, "well"), startSickHost(t)
		p := startHAProxy(t, bin, healthBase(), fmt.Sprintf(healthFile, well.Addr, sick.Addr))
		awaitDown(t, p.runtime())
		sick.Served.Store(0)
		for range 2 {
			health := downLines([]byte(p.must(t, "show servers state")), everyone)
			if err := writeHealth(filepath.Join(p.Dir, "state"), health); err != nil {
				t.Fatal(err)
			}
			if err := p.reloader().reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 6 {
				if status, body, err := p.fetch(t.Context(), "b"); body != "well" {
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
	eachHAProxy(t, func(t *testing.T, bin string) {
		well, sick, moved := startHost(t, "well"), startSickHost(t), startHost(t, "moved")
		p := startHAProxy(t, bin, healthBase(), fmt.Sprintf(healthFile, well.Addr, sick.Addr))
		awaitDown(t, p.runtime())
		p.must(t, "set server b/sick weight 17;set server b/well state maint")
		p.write(t, p.ManagedFile, fmt.Sprintf(healthFile, well.Addr, moved.Addr))
		health := downLines([]byte(p.must(t, "show servers state")), func(backend, server string, addr netip.AddrPort) bool {
			return backend == "b" && server == "sick" && addr == moved.Addr
		})
		if err := writeHealth(filepath.Join(p.Dir, "state"), health); err != nil {
			t.Fatal(err)
		}
		if err := p.reloader().reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantServers(t, p.runtime(), "b",
			Server{Name: "sick", Addr: moved.Addr, Check: true, Weight: 1, State: Ready},
			Server{Name: "well", Addr: well.Addr, Check: true, Weight: 1, State: Ready})
		for range 4 {
			if status, _, err := p.fetch(t.Context(), "b"); status != 200 {
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
	reply := stateHeader +
		"4 b 1 down 10.0.0.1 0 0 9 2 4 8 2 0 6 0 0 0" + rest +
		"4 b 2 drained 10.0.0.1 0 8 1 1 4 8 2 0 6 0 0 0" + rest +
		"4 b 3 disabled-once 10.0.0.1 0 4 1 1 4 8 2 0 6 0 0 0" + rest +
		"4 b 4 up 10.0.0.1 2 0 1 1 4 6 3 4 6 0 0 0" + rest +
		"4 b 5 maint 10.0.0.1 0 1 1 1 4 8 2 0 14 0 0 0" + rest +
		"4 b 6 unchecked 10.0.0.1 0 0 1 1 4 1 0 0 0 0 0 0" + rest +
		"4 b 7 not-kept 10.0.0.2 0 0 1 1 4 8 2 0 6 0 0 0" + rest +
		"4 b 8 no-address - 0 0 1 1 4 8 2 0 6 0 0 0" + rest +
		"4 b 9 cut 10.0.0.1 0\n\n"
	want := stateHeader +
		"4 b 1 down 10.0.0.1 0 0 2 2 4 8 2 0 6 0 0 0" + rest +
		"4 b 2 drained 10.0.0.1 0 0 1 1 4 8 2 0 6 0 0 0" + rest +
		"4 b 3 disabled-once 10.0.0.1 0 0 1 1 4 8 2 0 6 0 0 0" + rest
	have := downLines([]byte(reply), func(_, _ string, addr netip.AddrPort) bool {
		return addr == netip.MustParseAddrPort("10.0.0.1:80")
	})
	if string(have) != want {
		t.Errorf("have\n%s\nwant\n%s", have, want)
	}
}

func TestTheHealthFileIsReplacedAsAWholeAndKeepsItsMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	for _, step := range []struct {
		write func() error
		text  string
		mode  os.FileMode
	}{
		{func() error { return writeHealth(path, []byte("1\nx\n")) }, "1\nx\n", 0o644},
		{func() error { return os.Chmod(path, 0o600) }, "1\nx\n", 0o600},
		{func() error { return writeHealth(path, []byte("1\n")) }, "1\n", 0o600},
		{func() error { return clearHealth(path) }, stateHeader, 0o600},
	} {
		if err := step.write(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		stat, err := os.Stat(path)
		if err != nil || string(text) != step.text || stat.Mode().Perm() != step.mode {
			t.Errorf("%q mode %v, want %q mode %v", text, stat.Mode(), step.text, step.mode)
		}
	}
	if err := writeHealth(filepath.Join(path, "below"), nil); err == nil || !strings.Contains(err.Error(), "server-state file") {
		t.Errorf("error %v", err)
	}
}

func TestHealthThatAKilledProcessLeftIsClearedWithTheLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state, base, managed := filepath.Join(dir, "state"), filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "hapsync.cfg")
	line := "3 a.com_cluster 1 s1 10.0.0.1 0 0 1 1 2 8 2 0 6 0 0 0 - 10000 - 0 0 - - 0\n"
	files := map[string]string{
		base:    "global\n    server-state-file " + state + "\ndefaults\n    mode http\n    load-server-state-from-file global\n",
		managed: newFile([]string{"webin"}),
	}
	for file, text := range files {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ before, after string }{
		"ours":            {"1\n" + oneReload + line, stateHeader},
		"the operator's":  {stateHeader + line, stateHeader + line},
		"nothing special": {"1\n", "1\n"},
	} {
		if err := os.WriteFile(state, []byte(c.before), 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := Open(Settings{BaseFile: base, ManagedFile: managed, Binary: firstHAProxy(t)})
		if err != nil {
			t.Fatal(err)
		}
		unlock, err := h.Lock()
		if err != nil {
			t.Fatal(err)
		}
		if err := unlock(); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(state); err != nil || string(text) != c.after {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

func TestHealthIsCarriedOnlyForServersThatTheFilesHaveChecked(t *testing.T) {
	t.Parallel()
	doc := parseDocument(`backend plain
    server checked 10.0.0.1:80 cookie x check
    server off 10.0.0.2:80 cookie check
backend default
    default-server check inter 1s
    server checked 10.0.0.3:80
    server off 10.0.0.4:80 no-check
`)
	for defaults, want := range map[string]string{
		"inter 1s": "default/checked plain/checked",
		"check":    "default/checked plain/checked plain/off",
	} {
		var have []string
		for s, addr := range checkedAddrs(defaults, doc) {
			if !addr.IsValid() {
				t.Errorf("%v has no address", s)
			}
			have = append(have, s.backend+"/"+s.name)
		}
		slices.Sort(have)
		if got := strings.Join(have, " "); got != want {
			t.Errorf("with default-server %s: have %s, want %s", defaults, got, want)
		}
	}
}
