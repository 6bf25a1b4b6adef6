package haproxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestWhatHAProxyRefusesIsReportedInItsWordsAndTheRestIsDone(t *testing.T) {
	t.Parallel()
	eachHAProxy(t, func(t *testing.T, bin string) {
		one := startHost(t, "one")
		managed := fmt.Sprintf(twoDomains, one.Addr, one.Addr) +
			"backend static_cluster\n    balance uri\n    server server1 " + one.Addr.String() + "\n"
		p := startHAProxy(t, bin, "", managed)
		r := runtimeOf(p)
		good := Server{Name: "good", Addr: one.Addr, Weight: 1, State: Ready}
		named := func(name string) Server {
			s := good
			s.Name = name
			return s
		}
		heavy := named("server1")
		heavy.Weight = 50
		other := named("server1")
		other.Backup = true
		refused := map[Change]string{
			AddServer{"static_cluster", named("new")}:                                             "dynamic",
			SetServer{"static_cluster", named("server1"), heavy}:                                  "static LB algorithm",
			AddServer{"missing_cluster", named("new")}:                                            "No such backend",
			SetServer{"missing_cluster", named("server1"), heavy}:                                 "no such server",
			AddServer{backendB, other}:                                                            "Already exists",
			SetServer{backendA, server1(one.Addr), named("server1")}:                              "cookie",
			AddServer{backendB, Server{"p", one.Addr, "", false, 1, 0, false, Ready, "nonsense"}}: "nonsense",
		}
		changes := []Change{AddServer{backendB, good}, RemoveServer{Backend: backendB, Server: Server{Name: "never-there"}}}
		for c := range refused {
			changes = append(changes, c)
		}
		err := r.run(t.Context(), capabilities(t, r), changes, noParams, time.Second)
		var failed *RunError
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
		wantServers(t, r, backendB, good, Server{Name: "server1", Addr: one.Addr, Cookie: "server1", Weight: 1, State: Ready})
		wantServers(t, r, backendA, server1(one.Addr))
	})
}

func TestDefaultServerParametersAreSpelledOnAServerThatIsAddedLive(t *testing.T) {
	t.Parallel()
	eachHAProxy(t, func(t *testing.T, bin string) {
		one := startHost(t, "one")
		p := startHAProxy(t, bin, "", fmt.Sprintf(twoDomains, one.Addr, one.Addr))
		r := runtimeOf(p)
		s := Server{Name: "new", Addr: one.Addr, Check: true, Weight: 1, State: Maint, Params: "port 1235"}
		params := func(string) string { return "port 1234 fall 5 agent-port 77" }
		if err := r.run(t.Context(), capabilities(t, r), []Change{AddServer{backendB, s}}, params, 0); err != nil {
			t.Fatal(err)
		}
		if state := p.must(t, "show servers state "+backendB); !strings.Contains(state, " 0 1235 - - 77\n") {
			t.Errorf("ports 1235 and 77 are not in %s", state)
		}
	})
}

func TestNothingUncheckedGoesToTheSocket(t *testing.T) {
	t.Parallel()
	r := runtime{socket: "/nonexistent"}
	addr := netip.MustParseAddrPort("127.0.0.1:80")
	good := Server{Name: "s", Addr: addr, Weight: 1, State: Ready}
	with := func(change func(*Server)) Change {
		s := good
		change(&s)
		return AddServer{backendA, s}
	}
	for name, c := range map[string]Change{
		"a backend with a semicolon":        AddServer{"a;b", good},
		"a backend with a newline":          SetServer{"a\nb", good, good},
		"a removal with a space":            RemoveServer{Backend: "a b", Server: good},
		"an empty backend":                  AddServer{"", good},
		"a server with a slash":             with(func(s *Server) { s.Name = "a/b" }),
		"a removed server with a semicolon": RemoveServer{Backend: backendA, Server: Server{Name: "a;b"}},
		"a removed server without a name":   RemoveServer{Backend: backendA, Server: Server{}},
		"a server with a hash":              with(func(s *Server) { s.Name = "#1" }),
		"a new name":                        SetServer{backendA, Server{Name: "x"}, good},
		"a cookie with a space":             with(func(s *Server) { s.Cookie = "a b" }),
		"a cookie with a quote":             with(func(s *Server) { s.Cookie = `"` }),
		"a cookie that is not ASCII":        with(func(s *Server) { s.Cookie = "ü" }),
		"parameters with a semicolon":       with(func(s *Server) { s.Params = "a;b" }),
		"parameters with a backslash":       with(func(s *Server) { s.Params = `a\` }),
		"parameters with a payload":         with(func(s *Server) { s.Params = "<<" }),
		"parameters with a newline":         with(func(s *Server) { s.Params = "a\nb" }),
		"no address":                        with(func(s *Server) { s.Addr = netip.AddrPort{} }),
		"no port":                           with(func(s *Server) { s.Addr = netip.AddrPortFrom(addr.Addr(), 0) }),
		"an address with a zone":            with(func(s *Server) { s.Addr = netip.MustParseAddrPort("[fe80::1%eth0]:1") }),
		"weight 257":                        with(func(s *Server) { s.Weight = 257 }),
		"weight -1":                         with(func(s *Server) { s.Weight = -1 }),
		"maxconn -1":                        with(func(s *Server) { s.MaxConn = -1 }),
		"an unknown state":                  with(func(s *Server) { s.State = "x" }),
		"a backend change":                  AddBackend{Name: "x"},
		"a rule change":                     RemoveRule{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := r.run(t.Context(), Capabilities{}, []Change{c}, noParams, 0)
			if err == nil || errors.Is(err, ErrDown) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("default-server parameters with a semicolon", func(t *testing.T) {
		t.Parallel()
		unsafe := func(string) string { return "check;del server" }
		err := r.run(t.Context(), Capabilities{}, []Change{AddServer{backendA, good}}, unsafe, 0)
		if err == nil || errors.Is(err, ErrDown) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("two changes of one server", func(t *testing.T) {
		t.Parallel()
		err := r.run(t.Context(), Capabilities{}, []Change{AddServer{backendA, good}, RemoveServer{Backend: backendA, Server: good}}, noParams, 0)
		if err == nil || errors.Is(err, ErrDown) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("and what is checked would", func(t *testing.T) {
		t.Parallel()
		err := r.run(t.Context(), Capabilities{}, []Change{AddServer{backendA, good}}, noParams, 0)
		if !errors.Is(err, ErrDown) {
			t.Errorf("error %v", err)
		}
	})
}

func TestAnEmptyRunReachesForNoSocket(t *testing.T) {
	t.Parallel()
	if err := (runtime{socket: "/nonexistent"}).run(t.Context(), Capabilities{}, nil, noParams, 0); err != nil {
		t.Error(err)
	}
}

func TestHundredsOfServersComeAndGoInOneRun(t *testing.T) {
	t.Parallel()
	eachHAProxy(t, func(t *testing.T, bin string) {
		one := startHost(t, "one")
		p := startHAProxy(t, bin, "", fmt.Sprintf(twoDomains, one.Addr, one.Addr))
		r := runtimeOf(p)
		caps := capabilities(t, r)
		var add, remove []Change
		for i := range 600 {
			s := Server{Name: fmt.Sprintf("new%d", i), Addr: one.Addr, Weight: 1, State: Ready}
			add = append(add, AddServer{backendB, s})
			remove = append(remove, RemoveServer{Backend: backendB, Server: s})
		}
		if err := r.run(t.Context(), caps, add, noParams, 0); err != nil {
			t.Fatal(err)
		}
		if have := len(servers(t, r, backendB)); have != 601 {
			t.Errorf("%d servers", have)
		}
		if err := r.run(t.Context(), caps, remove, noParams, time.Second); err != nil {
			t.Fatal(err)
		}
		if have := len(servers(t, r, backendB)); have != 1 {
			t.Errorf("%d servers", have)
		}
	})
}
