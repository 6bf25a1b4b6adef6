package render

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// An Explanation is what hapsync explain shows.
type Explanation struct{ sync.Explanation }

// WriteJSON implements Page.
func (e Explanation) WriteJSON(w io.Writer) error { return JSON(w, explanationToJSON(e.Explanation)) }

// WriteText writes a page for a person: a verdict for each host, the answer first.
func (e Explanation) WriteText(w io.Writer) error {
	var out bytes.Buffer
	if len(e.Hosts) == 0 {
		fmt.Fprintf(&out, "not in rotation: %s has no host, neither in the registry nor in HAProxy\n", e.Domain)
	}
	for i, h := range e.Hosts {
		if i > 0 {
			fmt.Fprintln(&out)
		}
		writeHost(&out, e.Explanation, h)
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

func explainRow(out *bytes.Buffer, what, format string, args ...any) {
	text := strings.Join(OneLineEach([]string{fmt.Sprintf(format, args...)}), "")
	fmt.Fprintf(out, "  %-9s %s\n", what, text)
}

func writeHost(out *bytes.Buffer, e sync.Explanation, h sync.ExplainedHost) {
	row := func(what, format string, args ...any) { explainRow(out, what, format, args...) }
	fmt.Fprintf(out, "%s: %s/%s: %s\n", h.Verdict, e.Domain, h.Host, strings.Join(OneLineEach([]string{h.Why}), ""))
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
		row("haproxy", "%s for %s at %s, weight %d, cookie %s, %s", s.Status, s.Since, s.Addr, s.Weight, Dash(s.Cookie), Count(s.Sessions, "session"))
		row("check", "%s", Dash(s.LastCheck()))
	case e.HAProxy == nil:
		row("haproxy", "no server %s/%s", haproxy.BackendName(e.Domain), h.Host)
	}
	if o := h.Override; o != nil {
		row("kept", "%s was set on HAProxy's socket, the registry says %s; it stays until the registry says something new (hapsync sync --undo-overrides)", o.Live, o.Registry)
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
