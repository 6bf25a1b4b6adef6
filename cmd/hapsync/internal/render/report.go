package render

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// A Report is what hapsync plan and hapsync sync show.
type Report struct {
	sync.Report
	// Error is why the pass failed, for JSON; nil if it did not fail, or if a safeguard holds it.
	Error error
	// Summary counts the steps instead of showing them. Domain is the only one to show, if it is not empty.
	Summary bool
	Domain  string
}

// only is the report reduced to its Domain.
func (r Report) only() Report {
	if r.Domain == "" {
		return r
	}
	other := func(a sync.Action) bool { return a.Change.Domain() != r.Domain }
	r.Plan.Actions = slices.DeleteFunc(slices.Clone(r.Plan.Actions), other)
	r.Problems = slices.DeleteFunc(slices.Clone(r.Problems), func(p registry.Problem) bool { return p.Domain != r.Domain })
	r.Pending = slices.DeleteFunc(slices.Clone(r.Pending), func(line string) bool { return !strings.HasPrefix(line, r.Domain+"/") })
	return r
}

// WriteText writes a line for each step and problem, and the verdict last.
func (r Report) WriteText(w io.Writer) error {
	r = r.only()
	var out bytes.Buffer
	rows := func(what string, texts ...string) {
		for _, text := range texts {
			fmt.Fprintf(&out, "%-12s   %s\n", what, text)
		}
	}
	if r.Held != "" {
		rows("held", r.Held)
	}
	r.writeSteps(&out)
	rows("reload", r.Plan.Reload...)
	for _, k := range r.Kept {
		rows("kept", fmt.Sprintf("%s/%s: %s was set on HAProxy's socket, the registry says %s", k.Domain, k.Host, k.Live, k.Registry))
	}
	for _, a := range r.Agents {
		rows("agent-check", fmt.Sprintf("%s/%s: %s by its agent-check, %s without", a.Domain, a.Host, a.Live, a.Registry))
	}
	rows("refused", r.Refused...)
	rows("problem", problemLines(r.Problems, func(p registry.Problem) (key, reason string) { return p.Key, p.Reason })...)
	if r.Ignored.Keys > 0 {
		rows("ignored", r.Ignored.String())
	}
	rows("pending", r.Pending...)
	rows("warning", r.Warnings...)
	if r.Down != nil {
		rows("haproxy", strings.ReplaceAll(r.Down.Error(), "\n", "; "))
	}
	fmt.Fprintln(&out, r.verdict())
	_, err := out.WriteTo(w)
	return err
}

// maxAlike is how many problems with the same reason are shown one by one.
const maxAlike = 10

// problemLines are the lines of problems. Many problems with the same reason are one line, at the place of the first one.
func problemLines[P any](problems []P, of func(P) (key, reason string)) (lines []string) {
	keys := map[string][]string{}
	for _, p := range problems {
		key, reason := of(p)
		keys[reason] = append(keys[reason], key)
	}
	for _, p := range problems {
		key, reason := of(p)
		switch same := keys[reason]; {
		case len(same) <= maxAlike:
			lines = append(lines, key+": "+reason)
		case key == same[0]:
			lines = append(lines, someOf(same)+": "+reason)
		}
	}
	return lines
}

func (r Report) verdict() string {
	of := fmt.Sprintf("revision %d, %s, %s", r.Revision, registry.Count(r.Domains, "domain"), registry.Count(r.Hosts, "host"))
	switch {
	case !r.Compared:
		return "nothing compared: " + of
	case r.Plan.Empty() && r.Error != nil:
		return "nothing applied: " + of
	case r.Plan.Empty() && r.Down != nil:
		return "file in line, haproxy not reached: " + of
	case r.Plan.Empty():
		return "in line: " + of
	case r.Applied:
		return "applied: " + r.Plan.Summary() + " (" + of + ")"
	}
	switch done := r.Done(); {
	case done.Empty():
	case r.Left.Empty():
		return "applied: " + done.Summary() + " (" + of + ")"
	default:
		return "applied: " + done.Summary() + "; to do: " + r.Left.Summary() + " (" + of + ")"
	}
	return "to do: " + r.Plan.Summary() + " (" + of + ")"
}

// JSON of plan and of sync. While the version stays, fields are only added.
type (
	reportJSON struct {
		Version  int               `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
		Revision registry.Revision `json:"revision" doc:"etcd's revision that was read"`
		Domains  int               `json:"domains" doc:"how many domains are good"`
		Hosts    int               `json:"hosts" doc:"how many hosts are good"`
		InLine   bool              `json:"in_line" doc:"nothing is to be done: both sides were read, and the process was reached"`
		Applied  bool              `json:"applied" doc:"the plan was carried out"`
		Actions  []actionJSON      `json:"actions" doc:"the steps, in order"`
		Rewrite  string            `json:"rewrite,omitempty" doc:"why the file is written as a whole; absent if it is not"`
		Reload   []string          `json:"reload" doc:"reasons of the reload; empty if there is none"`
		Kept     []keptJSON        `json:"kept,omitempty" doc:"what was set on HAProxy's socket and is left as it is; absent if nothing"`
		Agents   []keptJSON        `json:"agent_checks,omitempty" doc:"what agent-checks have set and is left as it is; absent if nothing"`
		Refused  []string          `json:"refused,omitempty" doc:"what the process did not take; absent if nothing"`
		Problems []problemJSON     `json:"problems" doc:"what cannot be used, or is left alone"`

		IgnoredKeys  int      `json:"ignored_keys" doc:"how many keys mean nothing, and are passed over"`
		IgnoredNames []string `json:"ignored_names" doc:"the last part of some of them"`
		Pending      []string `json:"pending" doc:"half-written hosts, as 'domain/host: what is missing'"`
		Warnings     []string `json:"warnings" doc:"what to fix in HAProxy's configuration"`
		Held         string   `json:"held,omitempty" doc:"what a safeguard holds back; absent if nothing"`
		Down         string   `json:"down,omitempty" doc:"why the process was not reached; absent if it was"`
		Error        string   `json:"error,omitempty" doc:"why the command failed; absent if it did not"`
	}
	keptJSON struct {
		Domain   string `json:"domain" doc:"of the server"`
		Host     string `json:"host" doc:"of the server"`
		Live     string `json:"live" doc:"what HAProxy has, such as 'maint' or 'weight 5'"`
		Registry string `json:"registry" doc:"what the registry says instead"`
	}
	actionJSON struct {
		Via     sync.Via       `json:"via" doc:"'runtime', 'transaction' or 'rewrite'"`
		Op      haproxy.Op     `json:"op" doc:"'add', 'set' or 'remove'"`
		Object  haproxy.Object `json:"object" doc:"'backend', 'server' or 'rule'"`
		Name    string         `json:"name" doc:"name of the object"`
		Domain  string         `json:"domain" doc:"the domain that it serves"`
		Summary string         `json:"summary" doc:"the line of the text output"`
	}
	problemJSON struct {
		Key    string `json:"key" doc:"the key, or the domain"`
		Reason string `json:"reason" doc:"what is wrong"`
		Holds  bool   `json:"holds" doc:"it keeps a domain or a host from being followed (exit code 6)"`
	}
)

// WriteJSON implements Page.
func (r Report) WriteJSON(w io.Writer) error { return JSON(w, reportToJSON(r.only())) }

func reportToJSON(r Report) *reportJSON {
	return &reportJSON{
		Version: 1, Revision: r.Revision, Domains: r.Domains, Hosts: r.Hosts,
		InLine: r.Compared && r.Error == nil && r.Plan.Empty() && r.Down == nil, Applied: r.Applied,
		Actions: each(r.Plan.Actions, actionToJSON), Rewrite: r.Plan.Rewrite, Reload: orEmpty(r.Plan.Reload),
		Kept: each(r.Kept, func(o sync.Override) keptJSON { return keptJSON(o) }), Refused: r.Refused,
		Agents: each(r.Agents, func(o sync.Override) keptJSON { return keptJSON(o) }),
		Problems: each(r.Problems, func(p registry.Problem) problemJSON {
			return problemJSON{p.Key, p.Reason, p.Holds()}
		}),
		IgnoredKeys: r.Ignored.Keys, IgnoredNames: orEmpty(r.Ignored.Names),
		Pending: orEmpty(r.Pending), Warnings: orEmpty(r.Warnings), Held: r.Held, Down: errText(r.Down), Error: errText(r.Error),
	}
}

func actionToJSON(a sync.Action) actionJSON {
	name := a.Change.Key().Backend
	switch c := a.Change.(type) {
	case haproxy.AddServer, haproxy.SetServer, haproxy.RemoveServer:
		name = c.Key().String()
	case haproxy.AddRule:
		name = c.Rule.Frontend + "/" + c.Rule.Domain
	case haproxy.SetRule:
		name = c.Want.Frontend + "/" + c.Want.Domain
	case haproxy.RemoveRule:
		name = c.Rule.Frontend + "/" + c.Rule.Domain
	}
	return actionJSON{a.Via, a.Change.Op(), a.Change.Object(), name, a.Change.Domain(), a.Change.String()}
}
