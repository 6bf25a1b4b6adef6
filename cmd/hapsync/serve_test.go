package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/daemon"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// scrape returns the agent's metrics, by name and the value of the label.
func scrape(t *testing.T, a *runningAgent) map[string]float64 {
	t.Helper()
	code, body, err := a.get(t, "/metrics")
	if err != nil || code != http.StatusOK {
		t.Fatalf("code %d, %v", code, err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.New(strings.NewReader(body)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	values := map[string]float64{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			key := name
			if len(m.GetLabel()) == 1 {
				key += "/" + m.GetLabel()[0].GetValue()
			}
			values[key] = valueOf(m)
		}
	}
	return values
}

func valueOf(m *dto.Metric) float64 {
	if h := m.GetHistogram(); h != nil {
		return float64(h.GetSampleCount())
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func TestMetrics(t *testing.T) {
	b := oneHost()
	b.snapshot.Domains[0].Pending = []registry.Pending{{Host: "server2", Missing: "port"}}
	b.snapshot.Problems = []registry.Problem{{Key: "/services/web/x", Reason: "bad"}}
	b.snapshot.Changed = 800
	a := startAgent(t, b.program(nil, nil), freeAddr(t))
	a.answers(t, "/readyz", 200)
	got := scrape(t, a)
	if age, there := got["hapsync_problem_age_seconds//services/web/x"]; !there || age < 0 || age > 600 {
		t.Errorf("the problem is %v s old (there: %t)", age, there)
	}
	for name, want := range map[string]float64{
		"hapsync_passes_total/failed": 0, "hapsync_passes_total/held": 0,
		"hapsync_changes_total/file": 3, "hapsync_changes_total/runtime": 0, "hapsync_rewrites_total": 0,
		"hapsync_reloads_total/domain": 1, "hapsync_reloads_total/server": 0, "hapsync_revision_filed": 812, "hapsync_drift_total": 0, "hapsync_revision_seen": 812, "hapsync_revision_applied": 812,
		"hapsync_ready": 1, "hapsync_held": 0, "hapsync_failed": 0, "hapsync_registry_up": 1, "hapsync_haproxy_up": 1,
		"hapsync_domains": 1, "hapsync_hosts": 1, "hapsync_problems": 1, "hapsync_pending_hosts": 1,
		"hapsync_draining_servers": 0, "hapsync_reload_postponed": 0, "hapsync_overrides": 0, "hapsync_old_workers": 0, "hapsync_apply_seconds/runtime": 0, "hapsync_apply_seconds/reload": 0, "hapsync_lag_seconds": 0,
		"hapsync_build_info": 1, "hapsync_change_revision_seen": 800, "hapsync_change_revision_applied": 800,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v (there: %t), want %v", name, value, ok, want)
		}
	}
	if at := time.Unix(int64(got["hapsync_applied_timestamp_seconds"]), 0); time.Since(at) > time.Minute {
		t.Errorf("applied at %s", at)
	}
	// 3 s after a reload everything is read again.
	for _, name := range []string{"hapsync_passes_total/ok", "hapsync_pass_duration_seconds/whole", "go_goroutines", "process_resident_memory_bytes"} {
		if got[name] == 0 {
			t.Errorf("no %s", name)
		}
	}
}

func TestMetricsSayWhatIsWrong(t *testing.T) {
	b := oneHost()
	b.snapshotErr = registry.ErrUnavailable
	a := startAgent(t, b.program(nil, nil), freeAddr(t))
	a.answers(t, "/readyz", 503, "registry: ")
	got := scrape(t, a)
	for _, name := range []string{"hapsync_ready", "hapsync_registry_up", "hapsync_haproxy_up", "hapsync_applied_timestamp_seconds"} {
		if value, ok := got[name]; !ok || value != 0 {
			t.Errorf("%s is %v (there: %t), want 0", name, value, ok)
		}
	}
}

func TestMetricsFollowTheAgent(t *testing.T) {
	for interval, then := range map[string][]string{
		"1h":  {"hapsync_revision_seen 813\n", "hapsync_revision_applied 812\n", "hapsync_reload_postponed 1\n"},
		"1ms": {"hapsync_revision_applied 813\n", "hapsync_reload_postponed 0\n", "hapsync_reloads_total{cause=\"domain\"} 2\n"},
	} {
		t.Run("with a reload every "+interval, func(t *testing.T) {
			b := oneHost()
			first, second := b.snapshot, b.snapshot
			second.Revision++
			added := *second.Domains[0]
			added.Name = "b.abc.com"
			second.Domains = append(slices.Clone(second.Domains), &added)
			b.updates = make(chan registry.Snapshot)
			a := startAgent(t, b.program(nil, nil), freeAddr(t), "--reload-interval", interval)
			if got := scrape(t, a); got["hapsync_registry_up"] != 0 || got["hapsync_revision_seen"] != 0 {
				t.Errorf("before anything is known: %v", got)
			}
			b.updates <- first
			a.answers(t, "/metrics", 200, "hapsync_registry_up 1\n", "hapsync_revision_applied 812\n", "hapsync_reload_postponed 0\n")
			b.updates <- second
			a.answers(t, "/metrics", 200, then...)
			if passes := scrape(t, a)["hapsync_passes_total/ok"]; passes < 2 {
				t.Errorf("%v passes, want one of each revision at least", passes)
			}
		})
	}
}

func TestOnlyReadingIsServed(t *testing.T) {
	a := startAgent(t, oneHost().program(nil, nil), freeAddr(t))
	for path, code := range map[string]int{"/x": 404, "/debug/pprof/": 404, "/healthz/x": 404} {
		if got, _, err := a.get(t, path); got != code || err != nil {
			t.Errorf("%s: %d, %v", path, got, err)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/status", "/", "/domains", "/history", "/api/v1/status", "/api/v1/domains/a.abc.com", "/assets/page.js"} {
		w := httptest.NewRecorder()
		daemon.New(daemon.Build{}).Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, w.Code)
		}
	}
}

func TestHealthzSaysThatAPassIsStuck(t *testing.T) {
	s := daemon.New(daemon.Build{})
	j := &daemon.Agent{Watchdog: &daemon.Watchdog{File: benchTarget{new(bench)}, Limit: time.Nanosecond}}
	s.Use(j)
	ask := func() (int, string) {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		return w.Code, w.Body.String()
	}
	if code, body := ask(); code != http.StatusOK {
		t.Errorf("between two passes: %d %s", code, body)
	}
	unlock, err := j.Watchdog.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if code, body := ask(); code != http.StatusServiceUnavailable || !strings.Contains(body, "the pass loop is stuck") {
		t.Errorf("in a pass that takes too long: %d %s", code, body)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if code, body := ask(); code != http.StatusOK {
		t.Errorf("after it: %d %s", code, body)
	}
}

func TestReasonsAreOneLineEach(t *testing.T) {
	got := render.OneLineEach([]string{"a", "b\nc\n"})
	if want := []string{"a", "b; c"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestNobodyIsAnsweredUnderANameThatIsNotThisMachines(t *testing.T) {
	a := startAgent(t, oneHost().program(nil, nil), freeAddr(t))
	_, port, err := net.SplitHostPort(a.listen.Address)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.get(t, "/healthz"); err != nil {
		t.Fatal(err)
	}
	for host, code := range map[string]int{
		a.listen.Address: http.StatusOK, "localhost:" + port: http.StatusOK, "127.0.0.1": http.StatusOK, "[::1]:" + port: http.StatusOK,
		"evil.example.com:" + port: http.StatusMisdirectedRequest, "localhost.evil.example.com": http.StatusMisdirectedRequest,
	} {
		for _, path := range []string{"/status", "/metrics", "/healthz", "/readyz"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.listen.Address+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			got, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(got.Body)
			_ = got.Body.Close()
			if ready := path == "/readyz" && got.StatusCode == http.StatusServiceUnavailable; got.StatusCode != code && (!ready || code != http.StatusOK) {
				t.Errorf("%s of %s: %d %s", path, host, got.StatusCode, body)
			}
		}
	}
}

func TestAStatusIsBounded(t *testing.T) {
	t.Parallel()
	s := sync.Status{Counts: sync.Counts{Passes: 1}}
	for i := range 50_000 {
		s.Last.Problems = append(s.Last.Problems, registry.Problem{Key: fmt.Sprintf("/services/web/a.abc.com/h%d/ip", i), Reason: strings.Repeat("x", 200)})
		s.Last.Pending = append(s.Last.Pending, fmt.Sprintf("a.abc.com/h%d: port is missing", i))
		s.Last.Plan.Reload = append(s.Last.Plan.Reload, fmt.Sprintf("d%d.abc.com: new domain", i))
		s.Overrides = append(s.Overrides, sync.Override{Domain: "a.abc.com", Host: fmt.Sprintf("h%d", i), Live: "maint", Registry: "ready"})
	}
	status := render.StatusOf(s)
	status.Agent = &render.Agent{}
	var text, out bytes.Buffer
	if err := errors.Join(status.WriteText(&text), status.WriteJSON(&out)); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 64<<10 || text.Len() > 64<<10 {
		t.Errorf("%d bytes of JSON, %d of text", out.Len(), text.Len())
	}
	if n := strings.Count(text.String(), "\nproblem "); n != 1 {
		t.Errorf("%d lines for problems with one reason", n)
	}
	shown := len(status.Report.Problems)
	if shown < 50 || status.NotShown == nil || status.NotShown.Problems != 50_000-shown || status.NotShown.Others == 0 || !strings.Contains(text.String(), fmt.Sprintf("%d problems, ", 50_000-shown)) {
		t.Errorf("what is left out is not told:\n%s", text.String()[max(0, text.Len()-500):])
	}
}
