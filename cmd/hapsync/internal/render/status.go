package render

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// StatusVersion is raised when a field of /status and of status -o json changes its meaning or is removed.
const StatusVersion = 1

// JSON of /status and of status -o json.
type (
	// Status is the whole JSON.
	Status struct {
		Version   int            `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
		Agent     *Agent         `json:"agent" doc:"the agent; null if none answers"`
		Ready     bool           `json:"ready" doc:"'/readyz' answers 200"`
		Reasons   []string       `json:"reasons" doc:"why it is not ready, one line each"`
		Registry  registryJSON   `json:"registry" doc:"etcd"`
		HAProxy   haproxyJSON    `json:"haproxy" doc:"HAProxy"`
		Held      string         `json:"held,omitempty" doc:"what a safeguard holds back"`
		Failed    string         `json:"failed,omitempty" doc:"why the last pass failed"`
		Waiting   *waitJSON      `json:"waiting" doc:"the step that takes long right now; null if none does"`
		Applied   appliedJSON    `json:"applied" doc:"what HAProxy has"`
		Overrides []overrideJSON `json:"overrides" doc:"states and weights that an operator set on HAProxy's socket, and that are left so"`
		Counts    countsJSON     `json:"counts" doc:"what the agent has done since it started"`
		Report    *reportJSON    `json:"report" doc:"of the last pass, as 'hapsync sync -o json' prints it; null before the first"`
		NotShown  *notShown      `json:"not_shown,omitempty" doc:"what of the report is left out, because it is long; absent if nothing"`
		Passes    []Pass         `json:"passes" doc:"the last passes that did something or failed, newest first"`
		Shadow    *Shadow        `json:"shadow,omitempty" doc:"what 'agent --shadow' has found; absent for an agent that keeps HAProxy in line"`
	}

	// Agent is the agent that answered.
	Agent struct {
		Version string    `json:"version" doc:"version of hapsync"`
		PID     int       `json:"pid" doc:"process ID"`
		Started time.Time `json:"started" doc:"when it started"`
		Seconds float64   `json:"uptime_seconds" doc:"for how long it has been running"`
	}
	notShown struct {
		Problems int `json:"problems" doc:"how many problems"`
		Pending  int `json:"pending" doc:"how many pending hosts"`
		Actions  int `json:"actions" doc:"how many steps"`
		Others   int `json:"others" doc:"how many others: overrides, warnings, reasons, passes and the like"`
	}
	registryJSON struct {
		Up       bool              `json:"up" doc:"it can be read"`
		Error    string            `json:"error,omitempty" doc:"why it cannot"`
		Revision registry.Revision `json:"revision" doc:"the last revision that was heard of"`
	}
	haproxyJSON struct {
		Up         bool   `json:"up" doc:"it answers"`
		Error      string `json:"error,omitempty" doc:"why it does not"`
		OldWorkers int    `json:"old_workers" doc:"processes that finish what they had before a reload"`
	}
	waitJSON struct {
		For   string    `json:"for" doc:"the step: 'haproxy -c', a reload, ..."`
		Since time.Time `json:"since" doc:"when it began"`
	}
	appliedJSON struct {
		Revision   registry.Revision `json:"revision" doc:"revision that the process has"`
		File       registry.Revision `json:"file" doc:"revision that the managed file has"`
		At         *time.Time        `json:"at" doc:"when HAProxy last had what the registry says; null before the first good pass"`
		AgoSeconds float64           `json:"ago_seconds" doc:"how long ago that was"`
		LagSeconds float64           `json:"lag_seconds" doc:"for how long something has been waiting to be applied"`
	}
	overrideJSON struct {
		Domain   string `json:"domain" doc:"the domain"`
		Host     string `json:"host" doc:"the host"`
		Live     string `json:"live" doc:"what it is on HAProxy's socket"`
		Registry string `json:"registry" doc:"what the registry says"`
	}
	countsJSON struct {
		Passes         int                      `json:"passes" doc:"passes"`
		FailedPasses   int                      `json:"failed_passes" doc:"those that failed"`
		HeldPasses     int                      `json:"held_passes" doc:"those that a safeguard held as a whole: nothing was touched"`
		RuntimeChanges int                      `json:"runtime_changes" doc:"changes through the Runtime API"`
		FileChanges    int                      `json:"file_changes" doc:"changes in the managed file"`
		FileRewrites   int                      `json:"file_rewrites" doc:"times that the managed file was written as a whole"`
		Reloads        int                      `json:"reloads" doc:"reloads of HAProxy"`
		ReloadsBy      map[sync.ReloadCause]int `json:"reloads_by_cause" doc:"reloads by cause: 'domain', 'options', 'server', 'refused'"`
		Drift          int                      `json:"drift" doc:"changes that undid what was changed in HAProxy by hand"`
	}

	// Pass is one of the last passes.
	Pass struct {
		At       time.Time         `json:"at" doc:"when it ended"`
		Seconds  float64           `json:"seconds" doc:"how long it took"`
		Revision registry.Revision `json:"revision" doc:"the revision that it was about"`
		Summary  string            `json:"summary" doc:"what it did, counted"`
		Reload   []string          `json:"reload" doc:"reasons of its reload; empty if there was none"`
		Error    string            `json:"error,omitempty" doc:"why it failed, or 'held: ' and what for"`
	}
)

// statusOf is a status with complete lists.
func statusOf(s sync.Status) Status {
	out := Status{
		Version:   StatusVersion,
		Ready:     s.Ready(),
		Reasons:   OneLineEach(s.Reasons),
		Registry:  registryJSON{s.RegistryUp(), s.Lost, s.Seen},
		HAProxy:   haproxyJSON{s.HAProxyUp(), s.Down, s.Last.OldWorkers},
		Held:      s.Held,
		Failed:    s.Failed,
		Applied:   appliedJSON{Revision: s.Applied, File: s.Filed, LagSeconds: s.Lag().Seconds()},
		Overrides: each(s.Overrides, func(o sync.Override) overrideJSON { return overrideJSON(o) }),
		Counts:    countsToJSON(s.Counts),
		Passes:    each(s.Passes, passOf),
		Shadow:    ShadowOf(s.Shadow),
	}
	if s.Waiting != (haproxy.Wait{}) {
		out.Waiting = &waitJSON{s.Waiting.For, s.Waiting.Since}
	}
	if !s.AppliedAt.IsZero() {
		out.Applied.At, out.Applied.AgoSeconds = &s.AppliedAt, time.Since(s.AppliedAt).Seconds()
	}
	if s.Counts.Passes == 0 {
		return out
	}
	out.Report = reportToJSON(Report{Report: s.Last})
	return out
}

func passOf(e sync.Entry) Pass {
	p := Pass{e.At, e.Seconds, e.Revision, e.Summary(), orEmpty(e.Reload), e.Error}
	if e.Held != "" && !e.Done {
		p.Error = "held: " + e.Held
	}
	return p
}

// AbsentStatus is the status without an agent. why says why none answers; report and failed are the result of a plan.
func AbsentStatus(report sync.Report, why, failed error) Status {
	read := report.Revision > 0
	out := Status{Version: StatusVersion, Reasons: []string{why.Error()}, Passes: []Pass{},
		Registry: registryJSON{Up: read, Revision: report.Revision},
		HAProxy:  haproxyJSON{Up: read && report.Down == nil, Error: errText(report.Down)}}
	var held *sync.HeldError
	switch {
	case errors.Is(failed, registry.ErrUnavailable):
		out.Registry.Error = failed.Error()
	case errors.As(failed, &held):
		out.Held = held.Reason
	default:
		out.Failed = errText(failed)
	}
	if read {
		out.Report = reportToJSON(Report{Report: report})
	}
	return out
}

func countsToJSON(n sync.Counts) countsJSON {
	out := countsJSON{
		Passes: n.Passes, FailedPasses: n.FailedPasses, HeldPasses: n.HeldPasses,
		RuntimeChanges: n.RuntimeChanges, FileChanges: n.FileChanges, FileRewrites: n.FileRewrites,
		ReloadsBy: map[sync.ReloadCause]int{}, Drift: n.Drift,
	}
	for cause, count := range n.Reloads {
		out.ReloadsBy[cause] = count
		out.Reloads += count
	}
	return out
}

// WriteJSON implements Page.
func (s Status) WriteJSON(w io.Writer) error { return JSON(w, s) }

// WriteText writes the status for people, the most important first.
func (s Status) WriteText(w io.Writer) error {
	report := cmp.Or(s.Report, &reportJSON{})
	var out bytes.Buffer
	row := func(what, format string, args ...any) {
		fmt.Fprintf(&out, "%-12s %s\n", what, OneLine(fmt.Sprintf(format, args...)))
	}
	row("agent", "%s: hapsync %s, process %d, for %s", s.verdictWord(), s.Agent.Version, s.Agent.PID, Seconds(s.Agent.Seconds))
	for _, reason := range s.Reasons {
		row("reason", "%s", reason)
	}
	row("registry", "%s, revision %d: %s, %s", upWord(s.Registry.Up, "followed"), s.Registry.Revision,
		registry.Count(report.Domains, "domain"), registry.Count(report.Hosts, "host"))
	row("haproxy", "%s, %s", upWord(s.HAProxy.Up, "answers"), s.Applied.text())
	row("held", "%s", Dash(s.Held))
	if s.Shadow != nil {
		s.Shadow.write(row)
	} else {
		row("file", "revision %d", s.Applied.File)
		row("passes", "%d, %d failed, %d held as a whole", s.Counts.Passes, s.Counts.FailedPasses, s.Counts.HeldPasses)
		row("changes", "%d live, %d in the file, %s, %s, %d of drift", s.Counts.RuntimeChanges, s.Counts.FileChanges,
			registry.Count(s.Counts.FileRewrites, "rewrite"), registry.Count(s.Counts.Reloads, "reload"), s.Counts.Drift)
	}
	for _, o := range s.Overrides {
		row("override", "%s/%s: %s on the socket, %s in the registry", o.Domain, o.Host, o.Live, o.Registry)
	}
	for _, a := range report.Agents {
		row("agent-check", "%s/%s: %s by its agent-check, %s without", a.Domain, a.Host, a.Live, a.Registry)
	}
	for _, line := range problemLines(report.Problems, func(p problemJSON) (key, reason string) { return p.Key, p.Reason }) {
		row("problem", "%s", line)
	}
	if report.IgnoredKeys > 0 {
		row("ignored", "%s", registry.Ignored{Keys: report.IgnoredKeys, Names: report.IgnoredNames})
	}
	for _, p := range report.Pending {
		row("pending", "%s", p)
	}
	if s.NotShown != nil {
		row("not shown", "%s, %s more: hapsync plan -o json has all", registry.Count(s.NotShown.Problems, "problem"),
			registry.Count(s.NotShown.Pending, "pending host"))
	}
	for _, p := range report.Warnings {
		row("warning", "%s", p)
	}
	writePasses(&out, s.Passes)
	_, err := out.WriteTo(w)
	return err
}

func writePasses(out *bytes.Buffer, passes []Pass) {
	if len(passes) == 0 {
		return
	}
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PASS\tTOOK\tREVISION\tDONE\tWHY")
	for _, p := range passes {
		why := OneLineEach(p.Reload)
		switch {
		case strings.HasPrefix(p.Error, "held: "):
			why = []string{OneLine(p.Error)}
		case p.Error != "":
			why = []string{OneLine("failed: " + p.Error)}
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", stamp(p.At), took(p.Seconds), p.Revision, registry.OneLine(p.Summary),
			Dash(strings.Join(why, "; ")))
	}
	_ = table.Flush() // into the buffer
}

func (s Status) verdictWord() string {
	if s.Ready && s.Shadow != nil {
		return "ready, as a shadow"
	}
	if s.Ready {
		return "ready"
	}
	return "not ready"
}

func upWord(up bool, word string) string {
	if up {
		return word
	}
	return "not reachable"
}

func (a appliedJSON) text() string {
	if a.At == nil {
		return "nothing applied yet"
	}
	if a.Revision == 0 { // of an etcd that was restored or replaced
		return "nothing of this registry applied yet, in line with another " + Seconds(a.AgoSeconds) + " ago"
	}
	return fmt.Sprintf("revision %d applied %s ago", a.Revision, Seconds(a.AgoSeconds))
}
