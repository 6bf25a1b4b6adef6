package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/daemon"
)

// metricNames are the names of hapsync's own metrics.
func metricNames(t *testing.T) map[string]bool {
	t.Helper()
	families, err := daemon.Sample().Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
	}
	return names
}

// exported are the names of the agent's own metrics, as Prometheus stores them.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	names := metricNames(t)
	for _, part := range []string{"bucket", "count", "sum"} {
		names["hapsync_pass_duration_seconds_"+part] = true
		names["hapsync_apply_seconds_"+part] = true
	}
	return names
}

// unknownMetrics are the names in an expression that no agent exports.
func unknownMetrics(t *testing.T, expr string) (unknown []string) {
	t.Helper()
	names := exported(t)
	for _, name := range regexp.MustCompile(`\bhapsync_\w+`).FindAllString(expr, -1) {
		if !names[name] {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func TestAlertRulesAskForMetricsThatAreExported(t *testing.T) {
	t.Parallel()
	rules := read(t, "../../packaging/monitoring/hapsync.rules.yml")
	exprs := regexp.MustCompile(`(?s)expr:(.*?)\n +(?:for|labels):`).FindAllStringSubmatch(rules, -1)
	if len(exprs) != strings.Count(rules, "- alert:") || len(exprs) < 10 {
		t.Fatalf("%d expressions were found", len(exprs))
	}
	for _, m := range exprs {
		if unknown := unknownMetrics(t, m[1]); unknown != nil {
			t.Errorf("no agent exports %q, which an alert asks for: %s", unknown, m[1])
		}
	}
}

// promtool runs it in the directory of the alert rules; it must succeed.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("promtool is not there (apt-get install prometheus): expressions are not tried")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = "../../packaging/monitoring"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", cmd, err, out)
	}
}

func TestAlertRulesFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "hapsync.rules.yml")
	promtool(t, "test", "rules", "hapsync.rules.test.yml")
}

func TestThePageAndTheExampleConfigurePrometheus(t *testing.T) {
	t.Parallel()
	_, page, _ := strings.Cut(read(t, "../../docs/monitoring.md"), "```yaml\nrule_files:")
	page, _, _ = strings.Cut(page, "```")
	rules, err := filepath.Abs("../../packaging/monitoring/hapsync.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	secret := writeFile(t, "secret")
	files := strings.NewReplacer("/etc/prometheus/hapsync.rules.yml", rules, "/etc/prometheus/hapsync-ca.crt", secret, "/etc/prometheus/hapsync.password", secret)
	for _, text := range []string{"rule_files:" + page, read(t, "../../docs/examples/prometheus/prometheus.yml")} {
		if !strings.Contains(text, "/etc/prometheus/hapsync.rules.yml") {
			t.Errorf("Prometheus reads no alert rules: %s", text)
		}
		promtool(t, "check", "config", writeFile(t, files.Replace(text)))
	}
}

// labelsOf are the labels of an agent's metrics, without those of a scrape.
func labelsOf(t *testing.T) map[string]bool {
	t.Helper()
	families, err := daemon.Sample().Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]bool{"job": true, "instance": true, "le": true}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
		}
	}
	return labels
}

// checkExpression checks that Prometheus can parse an expression, and that agents export its metrics and labels.
func checkExpression(t *testing.T, title, expr string) {
	t.Helper()
	if unknown := unknownMetrics(t, expr); unknown != nil {
		t.Errorf("no agent exports %q, which the panel %q asks for", unknown, title)
	}
	known := labelsOf(t)
	for _, by := range regexp.MustCompile(`by \(([^)]*)\)|\{([^}]*)\}`).FindAllStringSubmatch(expr, -1) {
		for _, label := range regexp.MustCompile(`(\w+)(?:[=!~]+"[^"]*")?`).FindAllStringSubmatch(by[1]+by[2], -1) {
			if !known[label[1]] {
				t.Errorf("no metric of an agent has the label %q, which the panel %q asks for", label[1], title)
			}
		}
	}
	promtool(t, "check", "rules", writeFile(t, "groups:\n  - name: panel\n    rules:\n      - record: panel\n        expr: >\n          "+expr+"\n"))
}

func TestTheDashboardAsksForMetricsThatAreExported(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "../../packaging/monitoring/hapsync-dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all.WriteString(target.Expr + "\n")
			checkExpression(t, p.Title, target.Expr)
		}
	}
	if count := strings.Count(all.String(), "\n"); count < 10 {
		t.Errorf("only %d expressions were found", count)
	}
	for name := range metricNames(t) {
		if strings.HasPrefix(name, "hapsync_shadow") && !strings.Contains(all.String(), name) {
			t.Errorf("no panel shows %s", name)
		}
	}
}
