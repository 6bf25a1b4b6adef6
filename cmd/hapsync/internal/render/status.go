package render

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// StatusVersion is raised when a field of /status and of status -o json changes its meaning or goes away.
const StatusVersion = 1

// The shape of /status and of status -o json.
type (
	// Status is the whole of it.
	Status struct {
		Version   int              `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
		Agent     *Agent           `json:"agent" doc:"the agent; null if none answers"`
		Ready     bool             `json:"ready" doc:"'/readyz' answers 200"`
		Reasons   []string         `json:"reasons" doc:"why it is not ready, one line each"`
		Registry  registryJSON     `json:"registry" doc:"etcd"`
		HAProxy   haproxyJSON      `json:"haproxy" doc:"HAProxy"`
		Held      string           `json:"held,omitempty" doc:"what a safeguard holds back"`
		Failed    string           `json:"failed,omitempty" doc:"why the last pass failed"`
		Waiting   *waitJSON        `json:"waiting" doc:"the step that takes long right now; null if none does"`
		Applied   appliedJSON      `json:"applied" doc:"what HAProxy has"`
		Overrides []overrideJSON   `json:"overrides" doc:"states and weights that an operator set on HAProxy's socket, and that are left so"`
		Counts    countsJSON       `json:"counts" doc:"what the agent has done since it started"`
		Report    *json.RawMessage `json:"report" doc:"of the last pass, as 'hapsync sync -o json' prints it; null before the first"`
		NotShown  *notShown        `json:"not_shown,omitempty" doc:"what of the report is left out, because it is long; absent if nothing"`
		Passes    []Pass           `json:"passes" doc:"the last passes that did something or failed, newest first"`
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
		HeldPasses     int                      `json:"held_passes" doc:"those that a safeguard held"`
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

// StatusOf is an agent's status as it is printed; the error is that of writing its last report.
func StatusOf(s sync.Status) (Status, error) {
	out := Status{
		Version:   StatusVersion,
		Ready:     s.Ready(),
		Reasons:   OneLineEach(s.Reasons),
		Registry:  registryJSON{RegistryUp(s), s.Lost, s.Seen},
		HAProxy:   haproxyJSON{HAProxyUp(s), s.Down, s.Last.OldWorkers},
		Held:      s.Held,
		Failed:    s.Failed,
		Applied:   appliedJSON{Revision: s.Applied, File: s.Filed, LagSeconds: s.Lag().Seconds()},
		Overrides: make([]overrideJSON, len(s.Overrides)),
		Counts:    countsToJSON(s.Counts),
		Passes:    make([]Pass, len(s.Passes)),
	}
	if s.Waiting != (haproxy.Wait{}) {
		out.Waiting = &waitJSON{s.Waiting.For, s.Waiting.Since}
	}
	if !s.AppliedAt.IsZero() {
		out.Applied.At, out.Applied.AgoSeconds = &s.AppliedAt, time.Since(s.AppliedAt).Seconds()
	}
	for i, o := range s.Overrides {
		out.Overrides[i] = overrideJSON(o)
	}
	for i, p := range s.Passes {
		out.Passes[i] = Pass{p.At, p.Took.Seconds(), p.Revision, p.Summary, append([]string{}, p.Reload...), p.Error}
	}
	if s.Counts.Passes == 0 {
		return out, nil
	}
	last, hidden := s.Last, notShown{}
	last.Problems, hidden.Problems = first(last.Problems)
	last.Pending, hidden.Pending = first(last.Pending)
	last.Plan.Actions, hidden.Actions = first(last.Plan.Actions)
	if hidden != (notShown{}) {
		out.NotShown = &hidden
	}
	var err error
	out.Report, err = ReportJSON(last)
	return out, err
}

// mostShown bounds the lists of a status: who can write keys can make many problems.
const mostShown = 1000

// first cuts a list where it is long, and counts what is left out.
func first[T any](all []T) (shown []T, left int) {
	shown = all[:min(len(all), mostShown)]
	return shown, len(all) - len(shown)
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

// ReportJSON is a report as sync -o json prints it.
func ReportJSON(r sync.Report) (*json.RawMessage, error) {
	var b bytes.Buffer
	err := r.WriteJSON(&b)
	raw := json.RawMessage(b.Bytes())
	return &raw, err
}
