package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// statusVersion is raised when a field of /status and of status -o json changes its meaning or goes away.
const statusVersion = 1

// The shape of /status and of status -o json.
type (
	statusJSON struct {
		Version   int              `json:"version"`
		Agent     *agentJSON       `json:"agent"` // null where no agent answers
		Ready     bool             `json:"ready"`
		Reasons   []string         `json:"reasons"` // why it is not ready, one line each
		Registry  registryJSON     `json:"registry"`
		HAProxy   haproxyJSON      `json:"haproxy"`
		Held      string           `json:"held,omitempty"`   // what a safeguard holds
		Failed    string           `json:"failed,omitempty"` // why the last pass failed
		Waiting   *waitJSON        `json:"waiting"`          // what takes long right now; null where nothing does
		Applied   appliedJSON      `json:"applied"`
		Overrides []overrideJSON   `json:"overrides"` // set on HAProxy's socket, and left as they are
		Counts    countsJSON       `json:"counts"`
		Report    *json.RawMessage `json:"report"` // of the last pass, as of sync -o json; null before the first
		Passes    []passJSON       `json:"passes"` // the last ones that did something or failed, newest first
	}
	agentJSON struct {
		Version string    `json:"version"`
		PID     int       `json:"pid"`
		Started time.Time `json:"started"`
		Seconds float64   `json:"uptime_seconds"`
	}
	registryJSON struct {
		Up       bool              `json:"up"`
		Error    string            `json:"error,omitempty"`
		Revision registry.Revision `json:"revision"` // the last one heard of
	}
	haproxyJSON struct {
		Up         bool   `json:"up"`
		Error      string `json:"error,omitempty"`
		OldWorkers int    `json:"old_workers"` // that finish what they had before a reload
	}
	waitJSON struct {
		For   string    `json:"for"`
		Since time.Time `json:"since"`
	}
	appliedJSON struct {
		Revision   registry.Revision `json:"revision"`    // by the process
		File       registry.Revision `json:"file"`        // by the managed file
		At         *time.Time        `json:"at"`          // null before the first good pass
		AgoSeconds float64           `json:"ago_seconds"` // since then
		LagSeconds float64           `json:"lag_seconds"` // for how long something has been waiting
	}
	overrideJSON struct {
		Domain   string `json:"domain"`
		Host     string `json:"host"`
		Live     string `json:"live"`
		Registry string `json:"registry"`
	}
	countsJSON struct {
		Passes         int                      `json:"passes"`
		FailedPasses   int                      `json:"failed_passes"`
		HeldPasses     int                      `json:"held_passes"`
		RuntimeChanges int                      `json:"runtime_changes"`
		FileChanges    int                      `json:"file_changes"`
		FileRewrites   int                      `json:"file_rewrites"`
		Reloads        int                      `json:"reloads"`
		ReloadsBy      map[sync.ReloadCause]int `json:"reloads_by_cause"`
		Drift          int                      `json:"drift"`
	}
	passJSON struct {
		At       time.Time         `json:"at"`
		Seconds  float64           `json:"seconds"`
		Revision registry.Revision `json:"revision"`
		Summary  string            `json:"summary"`
		Reload   []string          `json:"reload"`
		Error    string            `json:"error,omitempty"`
	}
)

// statusz answers with the whole status.
func (s *service) statusz(w http.ResponseWriter, _ *http.Request) {
	out, err := statusToJSON(s.status())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	out.Agent = &agentJSON{thisBuild().Version, os.Getpid(), s.started, time.Since(s.started).Seconds()}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = writeJSON(w, out) // who has gone needs no answer
}

func statusToJSON(s sync.Status) (statusJSON, error) {
	out := statusJSON{
		Version:   statusVersion,
		Ready:     s.Ready(),
		Reasons:   oneLineEach(s.Reasons),
		Registry:  registryJSON{registryUp(s), s.Lost, s.Seen},
		HAProxy:   haproxyJSON{haproxyUp(s), s.Down, s.Last.OldWorkers},
		Held:      s.Held,
		Failed:    s.Failed,
		Applied:   appliedJSON{Revision: s.Applied, File: s.Filed, LagSeconds: s.Lag().Seconds()},
		Overrides: make([]overrideJSON, len(s.Overrides)),
		Counts:    countsToJSON(s.Counts),
		Passes:    make([]passJSON, len(s.Passes)),
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
		out.Passes[i] = passJSON{p.At, p.Took.Seconds(), p.Revision, p.Summary, append([]string{}, p.Reload...), p.Error}
	}
	if s.Counts.Passes == 0 {
		return out, nil
	}
	var err error
	out.Report, err = reportJSON(s.Last)
	return out, err
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

func reportJSON(r sync.Report) (*json.RawMessage, error) {
	var b bytes.Buffer
	err := r.WriteJSON(&b)
	raw := json.RawMessage(b.Bytes())
	return &raw, err
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
