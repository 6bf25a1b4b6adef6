package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hapsync/hapsync/registry"
)

// A shownReport is what a person gets to see of the last pass's report.
type shownReport struct {
	Domains  int      `json:"domains"`
	Hosts    int      `json:"hosts"`
	Pending  []string `json:"pending"`
	Warnings []string `json:"warnings"`
	Problems []struct {
		Key    string `json:"key"`
		Reason string `json:"reason"`
	} `json:"problems"`
	IgnoredKeys  int      `json:"ignored_keys"`
	IgnoredNames []string `json:"ignored_names"`
}

// WriteJSON implements Page.
func (s Status) WriteJSON(w io.Writer) error { return JSON(w, s) }

// WriteText writes the status for a person: what is asked first stands first.
func (s Status) WriteText(w io.Writer) error {
	var report shownReport
	if s.Report != nil {
		if err := json.Unmarshal(*s.Report, &report); err != nil {
			return fmt.Errorf("read the report: %w", err)
		}
	}
	var out bytes.Buffer
	row := func(what, format string, args ...any) {
		text := strings.Join(OneLineEach([]string{fmt.Sprintf(format, args...)}), "")
		fmt.Fprintf(&out, "%-12s %s\n", what, text)
	}
	row("agent", "%s: hapsync %s, process %d, for %s", s.verdictWord(), s.Agent.Version, s.Agent.PID, Seconds(s.Agent.Seconds))
	for _, reason := range s.Reasons {
		row("reason", "%s", reason)
	}
	row("registry", "%s, revision %d: %s, %s", upWord(s.Registry.Up, "followed"), s.Registry.Revision,
		Count(report.Domains, "domain"), Count(report.Hosts, "host"))
	row("haproxy", "%s, %s", upWord(s.HAProxy.Up, "answers"), s.Applied.text())
	row("file", "revision %d", s.Applied.File)
	row("held", "%s", Dash(s.Held))
	row("passes", "%d, %d failed, %d held", s.Counts.Passes, s.Counts.FailedPasses, s.Counts.HeldPasses)
	row("changes", "%d live, %d in the file, %s, %s, %d of drift", s.Counts.RuntimeChanges, s.Counts.FileChanges,
		Count(s.Counts.FileRewrites, "rewrite"), Count(s.Counts.Reloads, "reload"), s.Counts.Drift)
	for _, o := range s.Overrides {
		row("override", "%s/%s: %s on the socket, %s in the registry", o.Domain, o.Host, o.Live, o.Registry)
	}
	for _, p := range report.Problems {
		row("problem", "%s: %s", p.Key, p.Reason)
	}
	if report.IgnoredKeys > 0 {
		row("ignored", "%s", registry.Ignored{Keys: report.IgnoredKeys, Names: report.IgnoredNames})
	}
	for _, p := range report.Pending {
		row("pending", "%s", p)
	}
	if s.NotShown != nil {
		row("not shown", "%s, %s more: hapsync plan shows all", Count(s.NotShown.Problems, "problem"), Count(s.NotShown.Pending, "pending host"))
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
			why = OneLineEach([]string{p.Error})
		case p.Error != "":
			why = OneLineEach([]string{"failed: " + p.Error})
		}
		took := time.Duration(p.Seconds * float64(time.Second)).Round(100 * time.Microsecond)
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", p.At.Local().Format(time.DateTime), took, p.Revision, registry.OneLine(p.Summary), Dash(strings.Join(why, "; ")))
	}
	_ = table.Flush() // into the buffer
}

func (s Status) verdictWord() string {
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
	return fmt.Sprintf("revision %d applied %s ago", a.Revision, Seconds(a.AgoSeconds))
}
