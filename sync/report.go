package sync

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A Report is what a pass found, meant to do and did.
type Report struct {
	Revision registry.Revision
	// Domains and Hosts count what the registry has in a good state.
	Domains, Hosts int
	Plan           Plan
	// Problems are the registry's, and what was left alone or refused in HAProxy, sorted by key.
	Problems []registry.Problem
	// Ignored are the keys that mean nothing.
	Ignored registry.Ignored
	// Pending hosts, as "domain/host: what is missing", sorted.
	Pending []string
	// Warnings are what an operator should mend in HAProxy's configuration.
	Warnings []string
	// Kept is what an operator set on HAProxy's socket, and is left as it is.
	Kept []Override
	// Refused holds what the running process did not take, so that it came by a reload.
	Refused []string
	// Held says why a safeguard holds the plan back; empty where none does.
	Held string
	// Compared is set when both sides were read. Without it nothing is known of HAProxy, and the plan is empty.
	Compared bool
	// Error is why the pass failed, for JSON; nil where it did not, or where a safeguard holds it.
	Error error
	// Down says why the process could not be reached; nil when it was.
	Down error
	// Reloaded is set when HAProxy was reloaded, Postponed when that is left to a later pass.
	Reloaded, Postponed bool
	// Draining is the number of removed servers that still have sessions.
	Draining int
	// Drift counts the changes of the plan that undo what somebody did to HAProxy: the registry says nothing new about
	// their domains. Only an agent knows.
	Drift int
	// OldWorkers is the number of HAProxy's processes that finish what they have; a quick pass does not look.
	OldWorkers int
	// leaving are the servers that the pass found and that are not wanted.
	leaving []serverName
	// drained are the hosts in drain or maint, sorted.
	drained []serverName
	// Version is the process's; zero where it was not read.
	Version haproxy.Version
	// Applied is set when the plan was carried out (or there was nothing to do), not only made.
	Applied bool
}

func newReport(t tally) Report {
	return Report{
		Revision: t.of.Revision, Domains: t.domains, Hosts: t.hosts,
		Problems: slices.Clone(t.of.Problems), Ignored: t.of.Ignored, Pending: t.pending, drained: t.drained,
	}
}

func (r *Report) leaveOut(problems []registry.Problem) {
	r.Problems = append(r.Problems, problems...)
	slices.SortStableFunc(r.Problems, func(a, b registry.Problem) int { return cmp.Compare(a.Key, b.Key) })
	r.Problems = slices.Compact(r.Problems)
}

// A ReloadCause is the kind of thing that a reload was made for.
type ReloadCause string

// The causes of reloads.
const (
	ReloadDomain  ReloadCause = "domain"  // a new domain: its rules and backend
	ReloadOptions ReloadCause = "options" // the options of a backend
	ReloadServer  ReloadCause = "server"  // a server that the running process cannot take, or not change so
	ReloadRefused ReloadCause = "refused" // a change that the running process was to take, and did not
)

// cause is what the pass's reload was made for.
func (r Report) cause() ReloadCause { return cmp.Or(r.Plan.cause, ReloadRefused) }

// LeftOut reports whether a problem keeps some domain or host from being followed (exit code 6).
func (r Report) LeftOut() bool { return slices.ContainsFunc(r.Problems, registry.Problem.Holds) }

// WriteText writes the plan and what is wrong, for a person: a line for each, first the way, and the verdict last.
func (r Report) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	row := func(what, text string) { fmt.Fprintf(out, "%-12s %s\n", what, text) }
	if r.Plan.Rewrite != "" {
		row(string(ViaRewrite), "  the managed file: "+r.Plan.Rewrite)
	}
	for _, a := range r.Plan.Actions {
		row(string(a.Via), a.Change.String())
	}
	for _, reason := range r.Plan.Reload {
		row("reload", "  "+reason)
	}
	for _, k := range r.Kept {
		row("kept", fmt.Sprintf("  %s/%s: %s was set on HAProxy's socket, the registry says %s", k.Domain, k.Host, k.Live, k.Registry))
	}
	for _, refusal := range r.Refused {
		row("refused", "  "+refusal)
	}
	for _, p := range r.Problems {
		row("problem", "  "+p.Key+": "+p.Reason)
	}
	if r.Ignored.Keys > 0 {
		row("ignored", "  "+r.Ignored.String())
	}
	for _, p := range r.Pending {
		row("pending", "  "+p)
	}
	for _, warning := range r.Warnings {
		row("warning", "  "+warning)
	}
	if r.Down != nil {
		row("haproxy", "  "+strings.ReplaceAll(r.Down.Error(), "\n", "; "))
	}
	fmt.Fprintln(out, r.verdict())
	return out.Flush()
}

func (r Report) verdict() string {
	of := fmt.Sprintf("revision %d, %s, %s", r.Revision, count(r.Domains, "domain"), count(r.Hosts, "host"))
	switch {
	case !r.Compared:
		return "nothing compared: " + of
	case r.Plan.Empty() && r.Down != nil:
		return "file in line, haproxy not reached: " + of
	case r.Plan.Empty():
		return "in line: " + of
	case r.Applied:
		return "applied: " + r.Plan.summary() + " (" + of + ")"
	}
	return "to do: " + r.Plan.summary() + " (" + of + ")"
}

// summary counts the actions by way.
func (p Plan) summary() string {
	var parts []string
	for _, via := range []Via{ViaRuntime, ViaTransaction, ViaRewrite} {
		if n := len(p.changes(via)); n > 0 || via == ViaRewrite && p.Rewrite != "" {
			parts = append(parts, fmt.Sprintf("%s=%d", via, n))
		}
	}
	reloads := 0
	if len(p.Reload) > 0 {
		reloads = 1
	}
	return strings.Join(append(parts, fmt.Sprintf("reload=%d", reloads)), " ")
}

// first is the first thing that a plan would do, in words.
func (p Plan) first() string {
	switch {
	case len(p.Reload) > 0:
		return "reload: " + p.Reload[0]
	case len(p.Actions) > 0:
		return string(p.Actions[0].Via) + " " + p.Actions[0].Change.String()
	}
	return p.Rewrite
}

// jsonVersion is raised when a field of the JSON report changes its meaning or goes away.
const jsonVersion = 1

type jsonReport struct {
	Version  int               `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
	Revision registry.Revision `json:"revision" doc:"etcd's revision that was read"`
	Domains  int               `json:"domains" doc:"how many domains are good"`
	Hosts    int               `json:"hosts" doc:"how many hosts are good"`
	InLine   bool              `json:"in_line" doc:"nothing is to be done: both sides were read, and the process was reached"`
	Applied  bool              `json:"applied" doc:"the plan was carried out"`
	Actions  []jsonAction      `json:"actions" doc:"the steps, in order"`
	Rewrite  string            `json:"rewrite,omitempty" doc:"why the file is written as a whole; absent if it is not"`
	Reload   []string          `json:"reload" doc:"reasons of the reload; empty if there is none"`
	Kept     []jsonKept        `json:"kept,omitempty" doc:"what was set on HAProxy's socket and is left as it is; absent if nothing"`
	Refused  []string          `json:"refused,omitempty" doc:"what the process did not take; absent if nothing"`
	Problems []jsonProblem     `json:"problems" doc:"what cannot be used, or is left alone"`
	// The keys that mean nothing.
	IgnoredKeys  int      `json:"ignored_keys" doc:"how many keys mean nothing, and are passed over"`
	IgnoredNames []string `json:"ignored_names" doc:"the last part of some of them"`
	Pending      []string `json:"pending" doc:"half-written hosts, as 'domain/host: what is missing'"`
	Warnings     []string `json:"warnings" doc:"what to fix in HAProxy's configuration"`
	Held         string   `json:"held,omitempty" doc:"what a safeguard holds back; absent if nothing"`
	Down         string   `json:"down,omitempty" doc:"why the process was not reached; absent if it was"`
	Error        string   `json:"error,omitempty" doc:"why the command failed; absent if it did not"`
}

// ReportShape is a value of the type that WriteJSON writes, for those who describe its fields.
func ReportShape() any { return jsonReport{} }

type jsonKept struct {
	Domain   string `json:"domain" doc:"of the server"`
	Host     string `json:"host" doc:"of the server"`
	Live     string `json:"live" doc:"what HAProxy has, such as 'maint' or 'weight 5'"`
	Registry string `json:"registry" doc:"what the registry says instead"`
}

type jsonAction struct {
	Via     Via    `json:"via" doc:"'runtime', 'transaction' or 'rewrite'"`
	Op      string `json:"op" doc:"'add', 'set' or 'remove'"`
	Object  string `json:"object" doc:"'backend', 'server' or 'rule'"`
	Name    string `json:"name" doc:"name of the object"`
	Domain  string `json:"domain" doc:"the domain that it serves"`
	Summary string `json:"summary" doc:"the line of the text output"`
}

type jsonProblem struct {
	Key    string `json:"key" doc:"the key, or the domain"`
	Reason string `json:"reason" doc:"what is wrong"`
	Holds  bool   `json:"holds" doc:"it keeps a domain or a host from being followed (exit code 6)"`
}

// WriteJSON writes the report as one JSON object. Its "version" is 1; fields are added without raising it.
func (r Report) WriteJSON(w io.Writer) error {
	out := jsonReport{
		Version: jsonVersion, Revision: r.Revision, Domains: r.Domains, Hosts: r.Hosts,
		InLine: r.Compared && r.Error == nil && r.Plan.Empty() && r.Down == nil, Applied: r.Applied, Rewrite: r.Plan.Rewrite,
		Actions: make([]jsonAction, len(r.Plan.Actions)), Reload: orEmpty(r.Plan.Reload), Refused: r.Refused,
		Problems: make([]jsonProblem, len(r.Problems)), Pending: orEmpty(r.Pending), Warnings: orEmpty(r.Warnings),
	}
	out.Held, out.IgnoredKeys, out.IgnoredNames = r.Held, r.Ignored.Keys, orEmpty(r.Ignored.Names)
	for _, k := range r.Kept {
		out.Kept = append(out.Kept, jsonKept(k))
	}
	if r.Down != nil {
		out.Down = r.Down.Error()
	}
	if r.Error != nil {
		out.Error = r.Error.Error()
	}
	for i, a := range r.Plan.Actions {
		op, object, name := describe(a.Change)
		out.Actions[i] = jsonAction{a.Via, op, object, name, a.Change.Domain(), a.Change.String()}
	}
	for i, p := range r.Problems {
		out.Problems[i] = jsonProblem{p.Key, p.Reason, p.Holds()}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// describe names a change for JSON: what is done, to which kind of object, and its name.
func describe(c haproxy.Change) (op, object, name string) {
	switch ch := c.(type) {
	case haproxy.AddBackend:
		return "add", "backend", ch.Name
	case haproxy.SetBackend:
		return "set", "backend", ch.Name
	case haproxy.RemoveBackend:
		return "remove", "backend", ch.Name
	case haproxy.AddServer:
		return "add", "server", ch.Backend + "/" + ch.Server.Name
	case haproxy.SetServer:
		return "set", "server", ch.Backend + "/" + ch.Want.Name
	case haproxy.RemoveServer:
		return "remove", "server", ch.Backend + "/" + ch.Server.Name
	case haproxy.AddRule:
		return "add", "rule", ch.Rule.Frontend + "/" + ch.Rule.Domain
	case haproxy.RemoveRule:
		return "remove", "rule", ch.Rule.Frontend + "/" + ch.Rule.Domain
	}
	return "", "", c.String()
}
