package daemon

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/sync"
)

// metrics answers in Prometheus' format. It reads the agent's status at each scrape.
func (s *Daemon) metrics() http.Handler {
	all := prometheus.NewRegistry()
	all.MustRegister(
		statusCollector{s.status}, certsCollector{func() []haproxy.Certificate { return s.agent.Load().Certs.All() }},
		s.took, s.applied, buildInfo(s.build),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(all, promhttp.HandlerOpts{})
}

func buildInfo(b Build) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "hapsync_build_info",
		Help:        "What hapsync was built from; always 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "go": b.Go},
	}, func() float64 { return 1 })
}

// A statusCollector is the agent's status as metrics.
type statusCollector struct{ status func() sync.Status }

// Describe implements prometheus.Collector: the metrics are the same for every status.
func (c statusCollector) Describe(ch chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(statusCollector{fullStatus}, ch)
}

// fullStatus is a status that has every metric.
func fullStatus() sync.Status {
	return sync.Status{Oldest: []sync.AgedProblem{{Key: "KEY"}}, Shadow: &sync.ShadowStatus{}}
}

// Collect implements prometheus.Collector.
func (c statusCollector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range measures(c.status()) {
		var labels, values []string
		if m.label != "" {
			labels, values = []string{m.label}, []string{m.of}
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(m.name, m.help, labels, nil), m.kind, m.value, values...)
	}
}

// A certsCollector is the certificates as metrics.
type certsCollector struct{ all func() []haproxy.Certificate }

// oneCertificate has every metric.
func oneCertificate() []haproxy.Certificate {
	return []haproxy.Certificate{{File: "FILE", NotAfter: time.Unix(1, 0)}}
}

// Describe implements prometheus.Collector.
func (c certsCollector) Describe(ch chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(certsCollector{oneCertificate}, ch)
}

// maxExpiries is how many certificates have a metric of their own.
const maxExpiries = 20

// Collect implements prometheus.Collector.
func (c certsCollector) Collect(ch chan<- prometheus.Metric) {
	all, bad := slices.Clone(c.all()), 0
	for _, f := range all {
		if f.Problem != "" {
			bad++
		}
	}
	ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("hapsync_certificate_problems", "Files of --certs that are not put into HAProxy.", nil, nil),
		prometheus.GaugeValue, float64(bad))
	all = slices.DeleteFunc(all, func(f haproxy.Certificate) bool { return f.NotAfter.IsZero() })
	slices.SortStableFunc(all, func(a, b haproxy.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	for _, f := range all[:min(len(all), maxExpiries)] {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("hapsync_certificate_expiry_timestamp_seconds",
			"When a certificate of --certs expires, of the 20 that do so first.", []string{"file"}, nil),
			prometheus.GaugeValue, unixSeconds(f.NotAfter), f.File)
	}
}

// A measure is one value of a metric, with at most one label.
type measure struct {
	name, help string
	kind       prometheus.ValueType
	value      float64
	label, of  string
}

func measures(s sync.Status) []measure {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	passes := func(result string, n int) measure {
		return measure{"hapsync_passes_total", "Passes, by what became of them.", counter, float64(n), "result", result}
	}
	changes := func(via string, n int) measure {
		return measure{"hapsync_changes_total", "Changes made, live through the Runtime API or in the managed file.", counter, float64(n), "via", via}
	}
	reloads := func(cause sync.ReloadCause) measure {
		n := float64(s.Counts.Reloads[cause])
		return measure{"hapsync_reloads_total", "Reloads of HAProxy, by what asked for them.", counter, n, "cause", string(cause)}
	}
	n := s.Counts
	all := []measure{
		passes("ok", n.Passes-n.FailedPasses-n.HeldPasses), passes("failed", n.FailedPasses), passes("held", n.HeldPasses),
		changes("runtime", n.RuntimeChanges), changes("file", n.FileChanges),
		{"hapsync_rewrites_total", "Times that the managed file was written as a whole.", counter, float64(n.FileRewrites), "", ""},
		reloads(sync.ReloadDomain), reloads(sync.ReloadOptions), reloads(sync.ReloadServer), reloads(sync.ReloadRefused),
		{"hapsync_drift_total", "Changes that undid what was changed in HAProxy by hand.", counter, float64(n.Drift), "", ""},
		{"hapsync_revision_seen", "The registry's revision that was last heard of.", gauge, float64(s.Seen), "", ""},
		{"hapsync_revision_applied", "The registry's revision that HAProxy's process was last brought in line with.", gauge, float64(s.Applied), "", ""},
		{"hapsync_change_revision_seen", "The revision of the last change below the prefix that was heard of: it stays " +
			"while nothing changes, and is the same on all balancers.", gauge, float64(s.Heard), "", ""},
		{"hapsync_change_revision_applied", "The revision of the last change below the prefix that HAProxy's process has.", gauge, float64(s.Has), "", ""},
		{"hapsync_revision_filed", "The registry's revision that the managed file was last brought in line with.", gauge, float64(s.Filed), "", ""},
		{"hapsync_applied_timestamp_seconds", "When HAProxy was last in line; 0 before the first good pass.", gauge, unixSeconds(s.AppliedAt), "", ""},
		{"hapsync_lag_seconds", "For how long something has been waiting to be applied; 0 where nothing is.", gauge, s.Lag().Seconds(), "", ""},
		{"hapsync_ready", "1 where /readyz answers 200.", gauge, truth(s.Ready()), "", ""},
		{"hapsync_held", "1 where a safeguard holds a pass.", gauge, truth(s.Held != ""), "", ""},
		{"hapsync_failed", "1 where the last pass failed.", gauge, truth(s.Failed != ""), "", ""},
		{"hapsync_waiting_seconds", "For how long a step has been taking that takes long: haproxy -c, a reload; 0 " +
			"where none does.", gauge, s.Waiting.Took().Seconds(), "", ""},
		{"hapsync_registry_up", "1 where the registry can be followed.", gauge, truth(s.RegistryUp()), "", ""},
		{"hapsync_haproxy_up", "1 where HAProxy answered in the last pass.", gauge, truth(s.HAProxyUp()), "", ""},
		{"hapsync_domains", "Good domains in the registry.", gauge, float64(s.Last.Domains), "", ""},
		{"hapsync_hosts", "Good hosts in the registry.", gauge, float64(s.Last.Hosts), "", ""},
		{"hapsync_problems", "Keys that cannot be used, and what is left alone in HAProxy.", gauge, float64(len(s.Last.Problems)), "", ""},
		{"hapsync_ignored_keys", "Keys that mean nothing, and are passed over.", gauge, float64(s.Last.Ignored.Keys), "", ""},
		{"hapsync_pending_hosts", "Hosts that are half written in the registry.", gauge, float64(len(s.Last.Pending)), "", ""},
		{"hapsync_overrides", "Servers with a state or weight that someone set on HAProxy's socket.", gauge, float64(len(s.Overrides)), "", ""},
		{"hapsync_draining_servers", "Removed servers that still have sessions.", gauge, float64(s.Last.Draining), "", ""},
		{"hapsync_reload_postponed", "1 where a reload waits for --reload-interval or --reload-splay.", gauge, truth(s.Last.Postponed), "", ""},
		{"hapsync_old_workers", "HAProxy's processes that finish what they had before a reload, as of the " +
			"last resync.", gauge, float64(s.Last.OldWorkers), "", ""},
	}
	for _, p := range s.Oldest {
		all = append(all, measure{"hapsync_problem_age_seconds", "For how long the agent has known of a problem, of the 20 oldest ones.", gauge,
			time.Since(p.Since).Seconds(), "key", strings.ToValidUTF8(p.Key, "?")})
	}
	if s.Shadow != nil {
		all = append(all, shadowMeasures(*s.Shadow)...)
	}
	return all
}

// shadowMeasures are the metrics that only --shadow has.
func shadowMeasures(s sync.ShadowStatus) []measure {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	oldest := 0.0
	if len(s.Changes) > 0 {
		oldest = time.Since(s.Changes[0].Since).Seconds()
	}
	all := []measure{
		{"hapsync_shadow_agreed_total", "With --shadow: changes of the registry that the other tool made as hapsync would " +
			"have made them.", counter, float64(s.Agreed), "", ""},
		{"hapsync_shadow_differed_total", "With --shadow: changes that the other tool did not make as hapsync would have " +
			"made them, and changes of its own.", counter, float64(s.Differed), "", ""},
		{"hapsync_shadow_oldest_change_seconds", "With --shadow: for how long HAProxy has lacked a change that hapsync " +
			"would have made; 0 where it lacks none.", gauge, oldest, "", ""},
		{"hapsync_shadow_acted_timestamp_seconds", "With --shadow: when the other tool was last seen to change HAProxy; 0 " +
			"if it was not.", gauge, unixSeconds(s.Acted), "", ""},
	}
	for _, state := range []sync.ShadowState{sync.ShadowWaits, sync.ShadowUnanswered, sync.ShadowDiffers} {
		all = append(all, measure{"hapsync_shadow_changes", "With --shadow: changes that hapsync would have made and " +
			"HAProxy does not have, by state.", gauge,
			float64(s.Count(state)), "state", string(state)})
	}
	return all
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

// Sample has every metric of an agent, with all labels, without an agent.
func Sample() prometheus.Gatherer {
	s := New(Build{})
	for _, kind := range []sync.PassKind{sync.QuickPass, sync.FilePass, sync.WholePass} {
		s.Observe(kind, time.Second)
	}
	all := prometheus.NewRegistry()
	all.MustRegister(statusCollector{fullStatus}, certsCollector{oneCertificate}, s.took, s.applied, buildInfo(s.build))
	return all
}
