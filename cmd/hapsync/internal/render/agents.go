package render

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hapsync/hapsync/registry"
)

// A Roster is what hapsync agents shows. While the version stays, fields are only added.
type Roster struct {
	Version int    `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
	Prefix  string `json:"prefix" doc:"the prefix that the agents follow"`
	// Revision of the last put of a key that still exists.
	Revision registry.Revision `json:"revision" doc:"that of the last put of a key that is there"`
	Agents   []RosterLine      `json:"agents" doc:"the agents that live, by name"`
	Others   int               `json:"other_prefixes" doc:"how many agents follow another prefix"`
	// Problems are the reports that cannot be used. Denied is set if the user may not read the prefix, so that the agents' word
	// is all that is known of the revision.
	Problems []RosterProblem `json:"problems" doc:"the reports that cannot be used"`
	Denied   bool            `json:"denied,omitempty" doc:"the user may not read the prefix: 'revision' is the last one that an agent has heard of, 0 if there is none"`
}

// A RosterProblem is a report that cannot be used.
type RosterProblem struct {
	Key    string `json:"key" doc:"the key of the report"`
	Reason string `json:"reason" doc:"what is wrong"`
}

// A RosterLine is an agent in a Roster.
type RosterLine struct {
	Name string `json:"name" doc:"name of the agent"`
	registry.AgentReport
	// InLine says that the agent knows all changes and has applied them. LagSeconds is for how long it had not, as of its last
	// report. HeardSeconds is how long ago etcd heard from it. Both are independent of the machines' clocks.
	InLine       bool    `json:"in_line" doc:"it has heard of all changes and applied them"`
	LagSeconds   float64 `json:"lag_seconds" doc:"for how long it had something to apply, as of its last report"`
	HeardSeconds float64 `json:"heard_seconds" doc:"how long ago etcd heard from it"`
}

// NewRosterLine compares a report with the last change of the registry.
func NewRosterLine(a registry.AgentReport, last registry.Revision, heard time.Duration) RosterLine {
	line := RosterLine{Name: a.Name, AgentReport: a, InLine: a.Applied >= max(last, a.Heard), HeardSeconds: heard.Seconds()}
	if !line.InLine {
		line.LagSeconds = a.BehindSeconds
	}
	return line
}

// WriteJSON implements Page.
func (r Roster) WriteJSON(w io.Writer) error { return JSON(w, r) }

// WriteText writes a line for each agent.
func (r Roster) WriteText(w io.Writer) error {
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	if len(r.Agents) > 0 {
		fmt.Fprintln(table, "AGENT\tAPPLIED\tLAG\tHOLD\tPROBLEMS\tHAPROXY\tHAPSYNC\tHEARD")
	}
	for _, a := range r.Agents {
		fmt.Fprintln(table, strings.Join([]string{a.Name, fmt.Sprint(a.Applied), a.lag(r.Revision), Dash(cmp.Or(a.Held, a.Reason)),
			fmt.Sprint(a.Problems), Dash(a.HAProxy), Dash(a.Hapsync), Seconds(a.HeardSeconds) + " ago"}, "\t"))
	}
	_ = table.Flush() // into the buffer
	for _, a := range r.Agents {
		for _, l := range a.Leaving {
			fmt.Fprintf(&out, "leaving  %s: %s/%s has %s\n", a.Name, l.Domain, l.Host, registry.Count(l.Sessions, "session"))
		}
	}
	for _, problem := range r.Problems {
		fmt.Fprintf(&out, "problem  %s: %s\n", problem.Key, problem.Reason)
	}
	if r.Denied && r.Revision == 0 {
		fmt.Fprintf(&out, "unknown revision below %s, %s", r.Prefix, registry.Count(len(r.Agents), "agent"))
	} else {
		fmt.Fprintf(&out, "revision %d below %s, %s", r.Revision, r.Prefix, registry.Count(len(r.Agents), "agent"))
	}
	if r.Others > 0 {
		fmt.Fprintf(&out, "; %d more of other prefixes", r.Others)
	}
	if r.Denied {
		fmt.Fprintf(&out, "; this user of etcd may not read %s, so that only the agents' reports count", r.Prefix)
	}
	fmt.Fprintln(&out)
	_, err := out.WriteTo(w)
	return err
}

// lag says how far the agent is behind.
func (a RosterLine) lag(last registry.Revision) string {
	switch {
	case a.InLine:
		return "-"
	case a.Heard < last:
		return fmt.Sprintf("has not heard of %d", last)
	}
	if a.LagSeconds < 1 {
		return "a moment"
	}
	return "over " + Seconds(a.LagSeconds)
}
