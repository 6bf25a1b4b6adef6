package runtimeapi

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

func TestWhatHAProxyRefusesIsReportedInItsWordsAndTheRestIsDone(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one := haproxytest.StartHost(t, "one")
		managed := fmt.Sprintf(haproxytest.TwoDomains, one.Addr, one.Addr) +
			"backend static_cluster\n    balance uri\n    server server1 " + one.Addr.String() + "\n"
		p := haproxytest.StartHAProxy(t, bin, "", managed)
		r := runtimeOf(p)
		good := haproxy.Server{Name: "good", Addr: one.Addr, Weight: 1, State: haproxy.Ready}
		named := func(name string) haproxy.Server {
			s := good
			s.Name = name
			return s
		}
		heavy := named("server1")
		heavy.Weight = 50
		other := named("server1")
		other.Backup = true
		refused := map[haproxy.Change]string{
			haproxy.AddServer{Backend: "static_cluster", Server: named("new")}:                                "dynamic",
			haproxy.SetServer{Backend: "static_cluster", Have: named("server1"), Want: heavy}:                 "static LB algorithm",
			haproxy.AddServer{Backend: "missing_cluster", Server: named("new")}:                               "No such backend",
			haproxy.SetServer{Backend: "missing_cluster", Have: named("server1"), Want: heavy}:                "no such server",
			haproxy.AddServer{Backend: haproxytest.BackendB, Server: other}:                                   "Already exists",
			haproxy.SetServer{Backend: haproxytest.BackendA, Have: server1(one.Addr), Want: named("server1")}: "cookie",
			haproxy.AddServer{Backend: haproxytest.BackendB, Server: haproxy.Server{Name: "p", Addr: one.Addr, Cookie: "", Check: false, Weight: 1, MaxConn: 0, Backup: false, State: haproxy.Ready, Params: "nonsense"}}: "nonsense",
		}
		changes := []haproxy.Change{haproxy.AddServer{Backend: haproxytest.BackendB, Server: good}, haproxy.RemoveServer{Backend: haproxytest.BackendB, Server: haproxy.Server{Name: "never-there"}}}
		for c := range refused {
			changes = append(changes, c)
		}
		err := r.run(t.Context(), capabilities(t, r), changes, noParams, time.Second)
		var failed *haproxy.RunError
		if !errors.As(err, &failed) || len(failed.Failures) != len(refused) {
			t.Fatalf("error %v", err)
		}
		for _, f := range failed.Failures {
			if want, ok := refused[f.Change]; !ok || !strings.Contains(f.Reply, want) {
				t.Errorf("%s: reply %q, want %q", f.Change, f.Reply, want)
			}
		}
		if !strings.Contains(err.Error(), "and 2 more") {
			t.Errorf("error %v", err)
		}
		wantServers(t, r, haproxytest.BackendB, good, haproxy.Server{Name: "server1", Addr: one.Addr, Cookie: "server1", Weight: 1, State: haproxy.Ready})
		wantServers(t, r, haproxytest.BackendA, server1(one.Addr))
	})
}

func TestDefaultServerParametersAreSpelledOnAServerThatIsAddedLive(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one := haproxytest.StartHost(t, "one")
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, one.Addr, one.Addr))
		r := runtimeOf(p)
		s := haproxy.Server{Name: "new", Addr: one.Addr, Check: true, Weight: 1, State: haproxy.Maint, Params: "port 1235"}
		params := func(string) string { return "port 1234 fall 5 agent-port 77" }
		if err := r.run(t.Context(), capabilities(t, r), []haproxy.Change{haproxy.AddServer{Backend: haproxytest.BackendB, Server: s}}, params, 0); err != nil {
			t.Fatal(err)
		}
		if state := p.Must(t, "show servers state "+haproxytest.BackendB); !strings.Contains(state, " 0 1235 - - 77\n") {
			t.Errorf("ports 1235 and 77 are not in %s", state)
		}
	})
}

func TestNothingUncheckedGoesToTheSocket(t *testing.T) {
	t.Parallel()
	r := Client{Socket: "/nonexistent"}
	addr := netip.MustParseAddrPort("127.0.0.1:80")
	good := haproxy.Server{Name: "s", Addr: addr, Weight: 1, State: haproxy.Ready}
	with := func(change func(*haproxy.Server)) haproxy.Change {
		s := good
		change(&s)
		return haproxy.AddServer{Backend: haproxytest.BackendA, Server: s}
	}
	for name, c := range map[string]haproxy.Change{
		"a backend with a semicolon":        haproxy.AddServer{Backend: "a;b", Server: good},
		"a backend with a newline":          haproxy.SetServer{Backend: "a\nb", Have: good, Want: good},
		"a removal with a space":            haproxy.RemoveServer{Backend: "a b", Server: good},
		"an empty backend":                  haproxy.AddServer{Backend: "", Server: good},
		"a server with a slash":             with(func(s *haproxy.Server) { s.Name = "a/b" }),
		"a removed server with a semicolon": haproxy.RemoveServer{Backend: haproxytest.BackendA, Server: haproxy.Server{Name: "a;b"}},
		"a removed server without a name":   haproxy.RemoveServer{Backend: haproxytest.BackendA, Server: haproxy.Server{}},
		"a server with a hash":              with(func(s *haproxy.Server) { s.Name = "#1" }),
		"a new name":                        haproxy.SetServer{Backend: haproxytest.BackendA, Have: haproxy.Server{Name: "x"}, Want: good},
		"a cookie with a space":             with(func(s *haproxy.Server) { s.Cookie = "a b" }),
		"a cookie with a quote":             with(func(s *haproxy.Server) { s.Cookie = `"` }),
		"a cookie that is not ASCII":        with(func(s *haproxy.Server) { s.Cookie = "ü" }),
		"parameters with a semicolon":       with(func(s *haproxy.Server) { s.Params = "a;b" }),
		"parameters with a backslash":       with(func(s *haproxy.Server) { s.Params = `a\` }),
		"parameters with a payload":         with(func(s *haproxy.Server) { s.Params = "<<" }),
		"parameters with a newline":         with(func(s *haproxy.Server) { s.Params = "a\nb" }),
		"no address":                        with(func(s *haproxy.Server) { s.Addr = netip.AddrPort{} }),
		"no port":                           with(func(s *haproxy.Server) { s.Addr = netip.AddrPortFrom(addr.Addr(), 0) }),
		"an address with a zone":            with(func(s *haproxy.Server) { s.Addr = netip.MustParseAddrPort("[fe80::1%eth0]:1") }),
		"weight 257":                        with(func(s *haproxy.Server) { s.Weight = 257 }),
		"weight -1":                         with(func(s *haproxy.Server) { s.Weight = -1 }),
		"maxconn -1":                        with(func(s *haproxy.Server) { s.MaxConn = -1 }),
		"an unknown state":                  with(func(s *haproxy.Server) { s.State = "x" }),
		"a backend change":                  haproxy.AddBackend{Name: "x"},
		"a rule change":                     haproxy.RemoveRule{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := r.run(t.Context(), haproxy.Capabilities{}, []haproxy.Change{c}, noParams, 0)
			if err == nil || errors.Is(err, haproxy.ErrDown) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("default-server parameters with a semicolon", func(t *testing.T) {
		t.Parallel()
		unsafe := func(string) string { return "check;del server" }
		err := r.run(t.Context(), haproxy.Capabilities{}, []haproxy.Change{haproxy.AddServer{Backend: haproxytest.BackendA, Server: good}}, unsafe, 0)
		if err == nil || errors.Is(err, haproxy.ErrDown) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("two changes of one server", func(t *testing.T) {
		t.Parallel()
		err := r.run(t.Context(), haproxy.Capabilities{}, []haproxy.Change{haproxy.AddServer{Backend: haproxytest.BackendA, Server: good}, haproxy.RemoveServer{Backend: haproxytest.BackendA, Server: good}}, noParams, 0)
		if err == nil || errors.Is(err, haproxy.ErrDown) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("and what is checked would", func(t *testing.T) {
		t.Parallel()
		err := r.run(t.Context(), haproxy.Capabilities{}, []haproxy.Change{haproxy.AddServer{Backend: haproxytest.BackendA, Server: good}}, noParams, 0)
		if !errors.Is(err, haproxy.ErrDown) {
			t.Errorf("error %v", err)
		}
	})
}

func TestAnEmptyRunReachesForNoSocket(t *testing.T) {
	t.Parallel()
	if err := (Client{Socket: "/nonexistent"}).run(t.Context(), haproxy.Capabilities{}, nil, noParams, 0); err != nil {
		t.Error(err)
	}
}

func TestHundredsOfServersComeAndGoInOneRun(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one := haproxytest.StartHost(t, "one")
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, one.Addr, one.Addr))
		r := runtimeOf(p)
		caps := capabilities(t, r)
		var add, remove []haproxy.Change
		for i := range 600 {
			s := haproxy.Server{Name: fmt.Sprintf("new%d", i), Addr: one.Addr, Weight: 1, State: haproxy.Ready}
			add = append(add, haproxy.AddServer{Backend: haproxytest.BackendB, Server: s})
			remove = append(remove, haproxy.RemoveServer{Backend: haproxytest.BackendB, Server: s})
		}
		if err := r.run(t.Context(), caps, add, noParams, 0); err != nil {
			t.Fatal(err)
		}
		if have := len(servers(t, r, haproxytest.BackendB)); have != 601 {
			t.Errorf("%d servers", have)
		}
		if err := r.run(t.Context(), caps, remove, noParams, time.Second); err != nil {
			t.Fatal(err)
		}
		if have := len(servers(t, r, haproxytest.BackendB)); have != 1 {
			t.Errorf("%d servers", have)
		}
	})
}
