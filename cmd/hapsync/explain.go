package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

func (p program) explainCommand() *cli.Command {
	return p.environment().Command(&cli.Command{
		Name:      "explain",
		Category:  groupLook,
		Usage:     "say why a host is in rotation or not, from its keys to HAProxy's server",
		ArgsUsage: "DOMAIN [HOST]",
		Flags:     append([]cli.Flag{cli.OutputFlag(), maxRemovalFlag()}, cli.SharedFlags()...),
		Action:    p.explainDomain,
	}, cli.Page{
		Description: `Follows the hosts of a domain, or one of them, on a HAProxy machine: the keys with their leases, what is wrong with
them, what hapsync sync would do, and the server in the running process. The first line has the answer. It only reads, and
shows what can be seen while etcd or HAProxy is away.`,
		Example: `
hapsync explain a.abc.com server1
hapsync explain -o json a.abc.com`,
		ExitCodes: `
0 every host that is shown is in rotation; 1 error; 2 usage; 3 the registry is not reachable; 4 HAProxy is not reachable;
7 some host is not in rotation, or there is none; 130 interrupted`,
	})
}

func (p program) explainDomain(c *cli.Context) error {
	domain, host := strings.ToLower(c.Args().Get(0)), c.Args().Get(1)
	err := registry.CheckDomain(domain)
	if err == nil && host != "" {
		err = registry.CheckHost(host)
	}
	if err != nil {
		return cli.Usage(c, err)
	}
	pass, err := p.prepare(c)
	if err != nil {
		return err
	}
	defer pass.source.Close()
	e, err := pass.syncer.Explain(c.Context, domain, host)
	if err != nil {
		return err
	}
	write := func(w io.Writer) error { return writeExplanation(w, e) }
	if c.String("output") == "json" {
		write = func(w io.Writer) error { return writeJSON(w, explanationToJSON(e)) }
	}
	if err := write(p.stdout); err != nil {
		return fmt.Errorf("write the explanation: %w", err)
	}
	return explained(e)
}

// explained is the error of what was shown.
func explained(e sync.Explanation) error {
	if e.Registry != nil || e.HAProxy != nil {
		return errors.Join(e.Registry, e.HAProxy)
	}
	for _, h := range e.Hosts {
		if h.Verdict != sync.InRotation {
			return fmt.Errorf("%w: %s/%s is %s", errNotYet, e.Domain, h.Host, h.Verdict)
		}
	}
	if len(e.Hosts) == 0 {
		return fmt.Errorf("%w: %s has no host", errNotYet, e.Domain)
	}
	return nil
}

// writeExplanation writes a page for a person: a verdict for each host, the answer first.
func writeExplanation(w io.Writer, e sync.Explanation) error {
	var out bytes.Buffer
	if len(e.Hosts) == 0 {
		fmt.Fprintf(&out, "not in rotation: %s has no host, neither in the registry nor in HAProxy\n", e.Domain)
	}
	for i, h := range e.Hosts {
		if i > 0 {
			fmt.Fprintln(&out)
		}
		writeHost(&out, e, h)
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
	text := strings.Join(oneLineEach([]string{fmt.Sprintf(format, args...)}), "")
	fmt.Fprintf(out, "  %-9s %s\n", what, text)
}

func writeHost(out *bytes.Buffer, e sync.Explanation, h sync.ExplainedHost) {
	row := func(what, format string, args ...any) { explainRow(out, what, format, args...) }
	fmt.Fprintf(out, "%s: %s/%s: %s\n", h.Verdict, e.Domain, h.Host, strings.Join(oneLineEach([]string{h.Why}), ""))
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
		row("haproxy", "%s for %s at %s, weight %d, cookie %s, %s", s.Status, s.Since, s.Addr, s.Weight, dash(s.Cookie), count(s.Sessions, "session"))
		row("check", "%s", dash(s.LastCheck()))
	case e.HAProxy == nil:
		row("haproxy", "no server %s/%s", haproxy.BackendName(e.Domain), h.Host)
	}
	if o := h.Override; o != nil {
		row("override", "%s on HAProxy's socket, %s in the registry; the agent leaves it until the registry says something new", o.Live, o.Registry)
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
