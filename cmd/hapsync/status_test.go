package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

func TestStatusOfARunningAgent(t *testing.T) {
	b := oneHost()
	b.snapshot.Problems = []registry.Problem{{Key: "/services/web/x", Reason: "bad"}}
	b.snapshot.Domains[0].Pending = []registry.Pending{{Host: "server2", Missing: "port"}}
	b.state.Warnings = []string{"mend this"}
	listen := freeAddr(t)
	a := startAgent(t, b.program(nil, nil), listen)
	a.answers(t, "/readyz", 200)

	got := new(bench).run(t, "status", "--listen", listen)
	if got.code != exitOK || got.stderr != "" {
		t.Errorf("code %d: %s", got.code, got.stderr)
	}
	wantContains(t, "status", got.stdout, "agent        ready: hapsync ", "registry     followed, revision 812: 1 domain, 1 host\n",
		"haproxy      answers, revision 812 applied", "held         -\n", "passes       1, 0 failed, 0 held as a whole\n",
		"problem      /services/web/x: bad\n", "pending      a.abc.com/server2: port is missing\n", "warning      mend this\n",
		"\nPASS ", " transaction=3 reload=1  new domain: a.abc.com (")

	got = new(bench).run(t, "status", "--listen", listen, "-o", "json")
	var status struct {
		Version int
		Ready   bool
		Applied struct{ Revision int }
		Report  struct{ Version, Domains int }
		Passes  []struct{ Summary string }
	}
	if err := json.Unmarshal([]byte(got.stdout), &status); err != nil || got.code != exitOK {
		t.Fatalf("code %d, %v: %s", got.code, err, got.stdout)
	}
	if status.Version != 1 || !status.Ready || status.Applied.Revision != 812 || status.Report.Version != 1 || len(status.Passes) != 1 {
		t.Errorf("%+v", status)
	}
}

func TestStatusColumnsAreAligned(t *testing.T) {
	at := time.Now().Add(time.Hour) // the clock has been put back since
	s := render.Status{Version: 1, Agent: &render.Agent{Version: "v1", PID: 7, Started: at, Seconds: 90}, Reasons: []string{"one"}, Passes: []render.Pass{
		{At: at, Seconds: 0.0071, Revision: 812, Summary: "runtime=3 reload=0"},
		{At: at, Seconds: 12, Revision: 9, Summary: "transaction=1 reload=1", Reload: []string{"a", "b"}},
		{At: at, Seconds: 1, Revision: 10000, Summary: "reload=0", Error: "two\nlines"},
		{At: at, Seconds: 1, Revision: 11, Summary: "reload=0", Error: "held: why"},
	}}
	var b strings.Builder
	if err := s.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	stamp := at.Local().Format(time.DateTime)
	_, table, _ := strings.Cut(b.String(), "\n\n")
	want := "PASS                 TOOK   REVISION  DONE                    WHY\n" +
		stamp + "  7.1ms  812       runtime=3 reload=0      -\n" +
		stamp + "  12s    9         transaction=1 reload=1  a; b\n" +
		stamp + "  1s     10000     reload=0                failed: two; lines\n" +
		stamp + "  1s     11        reload=0                held: why\n"
	if table != want {
		t.Errorf("\n%swant\n%s", table, want)
	}
	wantContains(t, "status", b.String(), "agent        not ready: hapsync v1, process 7, for 1m30s\n", "reason       one\n",
		"registry     not reachable", "haproxy      not reachable, nothing applied yet")
}

func TestStatusWithoutAnAgentComparesItself(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*bench)
		code   int
		stdout string
	}{
		{"something to do", func(*bench) {}, exitError, "transaction  + server a.abc.com_cluster/server1"},
		{"registry away", func(b *bench) { b.snapshotErr = fmt.Errorf("etcd at x: %w", registry.ErrUnavailable) }, exitRegistry, ""},
		{"HAProxy away", func(b *bench) { b.state.Down = haproxy.ErrDown }, exitHAProxy, "+ server"},
		{"would be held", func(b *bench) {
			b.state.File, b.state.Live = threeServers(), threeServers()
			b.snapshot = registry.Snapshot{Revision: 7}
		}, exitHeld, "- server b.abc.com_cluster/s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := oneHost()
			tt.change(b)
			listen := freeAddr(t)
			got := b.run(t, "status", "--listen", listen)
			if got.code != tt.code || b.wrote || b.locked {
				t.Errorf("code %d, want %d; wrote %t, locked %t\n%s%s", got.code, tt.code, b.wrote, b.locked, got.stdout, got.stderr)
			}
			wantContains(t, "status", got.stdout, "agent        no agent answers on "+listen, tt.stdout)

			got = b.run(t, "status", "--listen", "/nowhere/agent.sock", "-o", "json")
			var status render.Status
			if err := json.Unmarshal([]byte(got.stdout), &status); err != nil || got.code != tt.code {
				t.Fatalf("code %d, want %d: %v\n%s", got.code, tt.code, err, got.stdout)
			}
			if status.Agent != nil || status.Ready || status.Reasons[0] != "no agent answers on unix:/nowhere/agent.sock" {
				t.Errorf("%+v", status)
			}
			if status.Registry.Up != (tt.code != exitRegistry) || status.HAProxy.Up != (tt.code != exitRegistry && tt.code != exitHAProxy) ||
				(status.Held != "") != (tt.code == exitHeld) {
				t.Errorf("%+v", status)
			}
		})
	}
}

func TestStatusWithTheAddressOff(t *testing.T) {
	got := oneHost().run(t, "status", "--listen", "off")
	wantContains(t, "status", got.stdout, "no agent answers: --listen is off")
}

func TestStatusFromSomebodyElse(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"another service": {http.NotFound, "it answers 404 to /status: is it hapsync's address (--listen)?"},
		"no JSON":         {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }, "no hapsync agent"},
		"other JSON":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }, "no hapsync agent"},
		"a later version": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"version": 2, "agent": {"version": "v9"}}`))
		}, "it is version v9, whose status this one cannot read"},
		"nothing": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			other := httptest.NewServer(tt.answer)
			defer other.Close()
			listen := other.Listener.Addr().String()
			got := oneHost().run(t, "status", "--listen", listen)
			if got.code != exitError || got.stdout != "" {
				t.Errorf("code %d: %s", got.code, got.stdout)
			}
			wantContains(t, "error", got.stderr, "ask the agent on "+listen+": ", tt.want)
		})
	}
}

func TestAnImpostorOnTheAgentsPortPrintsNothingRaw(t *testing.T) {
	const escape = "\x1b]0;owned\a\x1b[2J"
	for name, answer := range map[string]func(w http.ResponseWriter){
		"another version": func(w http.ResponseWriter) {
			_ = json.NewEncoder(w).Encode(map[string]any{"version": 99, "agent": map[string]any{"version": escape}})
		},
		"a status": func(w http.ResponseWriter) {
			_ = json.NewEncoder(w).Encode(map[string]any{
				"version": render.StatusVersion, "agent": map[string]any{"version": escape}, "reasons": []string{escape}, "held": escape,
				"passes": []any{map[string]any{"at": time.Now(), "summary": escape, "reload": []string{escape}, "error": "held: " + escape}},
				"report": map[string]any{"problems": []any{map[string]any{"key": escape, "reason": escape}}, "pending": []string{escape}, "warnings": []string{escape}},
			})
		},
		"a reason of its own": func(w http.ResponseWriter) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = conn.Write([]byte("HTTP/1.1 418 " + escape + "\r\nContent-Length: 0\r\n\r\n"))
				_ = conn.Close()
			}
		},
		"no JSON": func(w http.ResponseWriter) { _, _ = w.Write([]byte(escape)) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
			defer server.Close()
			got := oneHost().run(t, "status", "--listen", server.Listener.Addr().String())
			if out := got.stdout + got.stderr; strings.ContainsAny(out, "\x1b\a") {
				t.Errorf("it prints %q", out)
			}
		})
	}
}
