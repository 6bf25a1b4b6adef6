package render

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// An Explanation is what hapsync explain shows.
type Explanation struct{ sync.Explanation }

// WriteText writes a verdict for each host, with the answer first.
func (e Explanation) WriteText(w io.Writer) error {
	var out bytes.Buffer
	if len(e.Hosts) == 0 {
		fmt.Fprintln(&out, e.withoutHost())
	}
	for i, h := range e.Hosts {
		if i > 0 {
			fmt.Fprintln(&out)
		}
		writeHost(&out, e.Explanation, h)
	}
	for _, r := range e.Rules {
		explainRow(&out, "reached", "as %s, in frontend %s%s", r.Hosts(e.Names...), r.Frontend, r.Routing())
	}
	if e.Spare != "" {
		explainRow(&out, "backend", "HAProxy's statistics and logs call it %s until the next reload", e.Spare)
	}
	if options := e.Options.String(); options != "" {
		explainRow(&out, "options", "%s", options)
	}
	if e.Registry != nil {
		explainRow(&out, "registry", "%v", e.Registry)
	}
	if e.HAProxy != nil {
		explainRow(&out, "haproxy", "%v", e.HAProxy)
	}
	if e.Held != "" {
		explainRow(&out, "held", "%s", e.Held)
	}
	_, err := out.WriteTo(w)
	return err
}

// withoutHost is the verdict on a domain of which no host was found.
func (e Explanation) withoutHost() string {
	switch {
	case e.Registry != nil && e.HAProxy != nil:
		return fmt.Sprintf("%s: neither the registry nor HAProxy can be read, so the hosts of %s are not known", sync.Unknown, e.Domain)
	case e.Registry != nil:
		return fmt.Sprintf("%s: the registry cannot be read, and HAProxy has no host of %s", sync.Unknown, e.Domain)
	case e.HAProxy != nil:
		return fmt.Sprintf("%s: HAProxy cannot be read, and the registry has no host of %s", sync.Unknown, e.Domain)
	}
	return fmt.Sprintf("%s: %s has no host, neither in the registry nor in HAProxy", sync.NotInRotation, e.Domain)
}

func explainRow(out *bytes.Buffer, what, format string, args ...any) {
	fmt.Fprintf(out, "  %-9s %s\n", what, OneLine(fmt.Sprintf(format, args...)))
}

func writeHost(out *bytes.Buffer, e sync.Explanation, h sync.ExplainedHost) {
	row := func(what, format string, args ...any) { explainRow(out, what, format, args...) }
	fmt.Fprintf(out, "%s: %s/%s: %s\n", h.Verdict, e.Domain, h.Host, OneLine(h.Why))
	for _, k := range h.Keys {
		row("key", "%s = %s, revision %d, %s", k.Key, k.Value, k.Revision, leaseText(k))
	}
	if r := h.Registered; r != nil {
		row("registry", "%s at %s%s", r.State, r.Addr, comma(hostOptions(*r)))
	}
	if h.Missing != "" {
		row("pending", "%s is missing", h.Missing)
	}
	for _, problem := range h.Problems {
		row("problem", "%s: %s", problem.Key, problem.Reason)
	}
	for _, line := range h.Plan {
		row("plan", "%s", line)
	}
	if len(h.Plan) == 0 && e.Registry == nil && e.HAProxy == nil {
		row("plan", "nothing to do")
	}
	switch s := h.Server; {
	case s != nil:
		row("haproxy", "%s for %s at %s, weight %d, cookie %s, %s", s.Status, s.Since, s.Addr, s.Weight, Dash(s.Cookie),
			registry.Count(s.Sessions, "session"))
		row("check", "%s", Dash(s.LastCheck()))
	case e.HAProxy == nil:
		row("haproxy", "no server %s/%s", haproxy.BackendName(e.Domain), h.Host)
	}
	if o := h.Override; o != nil {
		row("kept", "%s was set on HAProxy's socket, the registry says %s; "+
			"it stays until the registry says something new (hapsync sync --undo-overrides)", o.Live, o.Registry)
	}
}

func comma(text string) string {
	if text == "" {
		return ""
	}
	return ", " + text
}

func leaseText(k registry.Key) string {
	switch {
	case k.Lease == "":
		return "no lease"
	case k.Left == 0:
		return "lease " + k.Lease + ", which has ended"
	}
	return fmt.Sprintf("lease %s with %s left", k.Lease, k.Left.Round(time.Second))
}

// JSON of explain. While the version stays, fields are only added.
type (
	explanationJSON struct {
		Version  int               `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
		Domain   string            `json:"domain" doc:"the domain that was asked for"`
		Registry registryJSON      `json:"registry" doc:"whether etcd could be read"`
		HAProxy  haproxyJSON       `json:"haproxy" doc:"whether HAProxy could be read"`
		Held     string            `json:"held,omitempty" doc:"what a safeguard would hold back"`
		Ruled    bool              `json:"ruled" doc:"HAProxy's process leads requests for the domain to its backend"`
		Rules    []ruleJSON        `json:"rules" doc:"the rules that do, one for each frontend"`
		Names    []string          `json:"names" doc:"further names that they take, '*.abc.com' for all below one"`
		Spare    string            `json:"spare_backend,omitempty" doc:"the name that HAProxy's statistics and logs have for its backend until the next reload; absent if it is its own"`
		Options  optionsJSON       `json:"options" doc:"what the registry says of the domain"`
		Hosts    []explainHostJSON `json:"hosts" doc:"the hosts of the domain, or the one that was asked for"`
	}
	ruleJSON struct {
		Frontend string `json:"frontend" doc:"the frontend"`
		AnyPort  bool   `json:"any_port" doc:"true: it takes the Host with any port, and without one; false: only without one"`
		ByMap    bool   `json:"by_map" doc:"the domain is in the map file, which one rule of the frontend reads"`
	}
	explainHostJSON struct {
		Host       string             `json:"host" doc:"name of the host"`
		Verdict    string             `json:"verdict" doc:"'in rotation', 'not in rotation' or 'unknown'"`
		Why        string             `json:"why" doc:"the answer in a sentence"`
		Keys       []registry.Key     `json:"keys" doc:"its keys in etcd"`
		Registered *hostJSON          `json:"registered" doc:"what the keys say; null if they make no good host"`
		Missing    string             `json:"missing,omitempty" doc:"the key that is not there yet"`
		Problems   []registry.Problem `json:"problems" doc:"keys that cannot be used"`
		Plan       []string           `json:"plan" doc:"what 'hapsync sync' would do, a line each"`
		Server     *serverJSON        `json:"server" doc:"the server in the running process; null if there is none, or it was not read"`
		Override   *overrideJSON      `json:"override" doc:"what an operator set on HAProxy's socket; null if nothing"`
	}
	serverJSON struct {
		Status    string  `json:"status" doc:"as HAProxy says it: 'UP', 'DOWN', 'DRAIN', 'MAINT', ..."`
		Address   string  `json:"address" doc:"address and port"`
		Weight    int     `json:"weight" doc:"weight"`
		Cookie    string  `json:"cookie" doc:"value of its cookie"`
		Sessions  int     `json:"sessions" doc:"sessions right now"`
		Backup    bool    `json:"backup,omitempty" doc:"used only when all others are down"`
		LastCheck string  `json:"last_check" doc:"result of the last health check"`
		Seconds   float64 `json:"status_seconds" doc:"for how long the status has been so"`
	}
)

// WriteJSON implements Page.
func (e Explanation) WriteJSON(w io.Writer) error {
	return JSON(w, explanationJSON{Version: 1, Domain: e.Domain, Registry: registryJSON{e.Registry == nil, errText(e.Registry), e.Revision},
		HAProxy: haproxyJSON{Up: e.HAProxy == nil, Error: errText(e.HAProxy)}, Held: e.Held, Ruled: e.Ruled, Rules: each(e.Rules, ruleToJSON),
		Names: orEmpty(e.Names), Spare: e.Spare, Options: optionsToJSON(e.Options), Hosts: each(e.Hosts, explainHostToJSON)})
}

func ruleToJSON(r haproxy.Rule) ruleJSON { return ruleJSON{r.Frontend, r.AnyPort, r.ByMap} }

func explainHostToJSON(h sync.ExplainedHost) explainHostJSON {
	out := explainHostJSON{Host: h.Host, Verdict: h.Verdict, Why: h.Why, Keys: h.Keys, Missing: h.Missing,
		Problems: orEmpty(h.Problems), Plan: h.Plan, Override: (*overrideJSON)(h.Override)}
	if h.Registered != nil {
		r := hostToJSON(*h.Registered)
		out.Registered = &r
	}
	if s := h.Server; s != nil {
		out.Server = &serverJSON{s.Status, s.Addr, s.Weight, s.Cookie, s.Sessions, s.Backup, s.LastCheck(), s.Since.Seconds()}
	}
	return out
}
