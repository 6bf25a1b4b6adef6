package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"

	"github.com/hapsync/hapsync/registry"
)

func (p program) agentsCommand() *cli.Command {
	return p.environment().Command(&cli.Command{
		Name:     "agents",
		Category: groupLook,
		Usage:    "show the agents that report, and what each has applied",
		Flags:    append([]cli.Flag{cli.OutputFlag(), reportPrefixFlag()}, cli.SharedFlags(cli.HAProxy)...),
		Action:   p.agents,
	}, cli.Page{
		Description: `Every agent that follows --prefix and lives, with the last change below that which its HAProxy has, and how far it is
behind: for how long it has known of something that it has not applied, as of its last word on that, or that it has not
heard of the last put of a key. (A deletion that an agent has not heard of does not show.) Heard is when etcd has heard from
it last. An agent that has died is gone within 15 s. The clocks of the machines need not agree.`,
		Example: `
hapsync agents
hapsync agents -o json`,
		ExitCodes: `0 shown; 1 error; 2 usage; 3 registry not reachable; 130 interrupted`,
	})
}

// A roster is what hapsync agents shows. Fields are only ever added while the version stays.
type roster struct {
	Version int    `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
	Prefix  string `json:"prefix" doc:"the prefix that the agents follow"`
	// Revision is that of the last put of a key that is there.
	Revision registry.Revision  `json:"revision" doc:"that of the last put of a key that is there"`
	Agents   []rosterLine       `json:"agents" doc:"the agents that live, by name"`
	Others   int                `json:"other_prefixes" doc:"how many agents follow another prefix"`
	Problems []registry.Problem `json:"-"`
}

type rosterLine struct {
	Name string `json:"name" doc:"name of the agent"`
	registry.AgentReport
	// InLine says that the agent has heard of all and applied it; LagSeconds is for how long it had not, where it knows, when
	// it said so last. HeardSeconds is how long ago etcd has heard from it. No clock of a machine has a part in either.
	InLine       bool    `json:"in_line" doc:"it has heard of all changes and applied them"`
	LagSeconds   float64 `json:"lag_seconds" doc:"for how long it had something to apply, as of its last report"`
	HeardSeconds float64 `json:"heard_seconds" doc:"how long ago etcd heard from it"`
}

func (p program) agents(c *cli.Context) error {
	prefix, err := reportPrefix(c)
	if err != nil {
		return err
	}
	client, err := p.client(c)
	if err != nil {
		return err
	}
	defer client.Close()
	last, err := client.LastChange(c.Context) // before the reports: a later one would make liars of them
	if err != nil {
		return err
	}
	all, err := client.Agents(c.Context, prefix)
	if err != nil {
		return err
	}
	out := roster{Version: 1, Prefix: c.String("prefix"), Revision: last, Agents: []rosterLine{}, Others: all.Others, Problems: all.Problems}
	for _, a := range all.Agents {
		ago, gone, err := client.Heard(c.Context, a)
		if err != nil {
			return err
		}
		if !gone {
			out.Agents = append(out.Agents, newRosterLine(a, last, ago))
		}
	}
	write := out.writeText
	if c.String("output") == "json" {
		write = func(w io.Writer) error { return writeJSON(w, out) }
	}
	if err := write(p.stdout); err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	return nil
}

func newRosterLine(a registry.AgentReport, last registry.Revision, heard time.Duration) rosterLine {
	line := rosterLine{Name: a.Name, AgentReport: a, InLine: a.Applied >= max(last, a.Heard), HeardSeconds: heard.Seconds()}
	if !line.InLine {
		line.LagSeconds = a.BehindSeconds
	}
	return line
}

func (r roster) writeText(w io.Writer) error {
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	if len(r.Agents) > 0 {
		fmt.Fprintln(table, "AGENT\tAPPLIED\tLAG\tHOLD\tPROBLEMS\tHAPROXY\tHAPSYNC\tHEARD")
	}
	for _, a := range r.Agents {
		fmt.Fprintln(table, strings.Join([]string{a.Name, fmt.Sprint(a.Applied), a.lag(r.Revision), dash(cmp.Or(a.Held, a.Reason)),
			fmt.Sprint(a.Problems), dash(a.HAProxy), dash(a.Hapsync), seconds(a.HeardSeconds) + " ago"}, "\t"))
	}
	_ = table.Flush() // into the buffer
	for _, a := range r.Agents {
		for _, l := range a.Leaving {
			fmt.Fprintf(&out, "leaving  %s: %s/%s has %s\n", a.Name, l.Domain, l.Host, count(l.Sessions, "session"))
		}
	}
	for _, problem := range r.Problems {
		fmt.Fprintf(&out, "problem  %s: %s\n", problem.Key, problem.Reason)
	}
	fmt.Fprintf(&out, "revision %d below %s, %s", r.Revision, r.Prefix, count(len(r.Agents), "agent"))
	if r.Others > 0 {
		fmt.Fprintf(&out, "; %d more of other prefixes", r.Others)
	}
	fmt.Fprintln(&out)
	_, err := out.WriteTo(w)
	return err
}

// lag says how far the agent is behind.
func (a rosterLine) lag(last registry.Revision) string {
	switch {
	case a.InLine:
		return "-"
	case a.Heard < last:
		return fmt.Sprintf("has not heard of %d", last)
	}
	if a.LagSeconds < 1 {
		return "a moment"
	}
	return "over " + seconds(a.LagSeconds)
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}
