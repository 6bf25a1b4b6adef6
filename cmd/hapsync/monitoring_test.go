package main

import (
	"encoding/json"
	"os"
	"os/exec"
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

func TestAlertRulesFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("promtool is not there (apt-get install prometheus): the alert rules are not tried")
	}
	for _, args := range [][]string{{"check", "rules", "hapsync.rules.yml"}, {"test", "rules", "hapsync.rules.test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = "../../packaging/monitoring"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", cmd, err, out)
		}
	}
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
	count := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			count++
			if unknown := unknownMetrics(t, target.Expr); unknown != nil {
				t.Errorf("no agent exports %q, which the panel %q asks for", unknown, p.Title)
			}
		}
	}
	if count < 10 {
		t.Errorf("only %d expressions were found", count)
	}
}
