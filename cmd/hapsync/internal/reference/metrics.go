package reference

import (
	"fmt"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// metrics is the page of metrics.
func (p Program) metrics() (string, error) {
	families, err := p.Metrics.Gather()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# Metrics\n\n`/metrics` of the agent (`--listen`) has these for Prometheus, and the usual `go_` and `process_` metrics\n" +
		"beside them. [Monitor](../monitoring.md) says which to alert on.\n\n")
	t := newTable("metric", "type", "labels", "meaning")
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "hapsync_") {
			t.row(code(f.GetName()), strings.ToLower(f.GetType().String()), labels(f), cell(f.GetHelp()))
		}
	}
	b.WriteString(t.String())
	return b.String(), nil
}

// labels are a metric's labels and their known values. Build information has no known values.
func labels(f *dto.MetricFamily) string {
	values := map[string][]string{}
	var names []string
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if values[l.GetName()] == nil {
				names = append(names, l.GetName())
			}
			if !slices.Contains(values[l.GetName()], l.GetValue()) {
				values[l.GetName()] = append(values[l.GetName()], l.GetValue())
			}
		}
	}
	var out []string
	for _, name := range names {
		if strings.HasSuffix(f.GetName(), "_info") {
			out = append(out, code(name))
			continue
		}
		var words []string
		for _, v := range values[name] {
			words = append(words, code(v))
		}
		out = append(out, fmt.Sprintf("%s: %s", code(name), strings.Join(words, ", ")))
	}
	return strings.Join(out, "; ")
}
