package main

import (
	"errors"
	"fmt"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"

	"github.com/hapsync/hapsync/sync"
)

func (p program) statusCommand() *cli.Command {
	return p.environment().Command(&cli.Command{
		Name:     "status",
		Category: groupLook,
		Usage:    "show how the running agent is, its last passes, and what is wrong",
		Flags: append([]cli.Flag{cli.OutputFlag(), listenFlag(), webConfigFlag(), agentURLFlag(), maxRemovalFlag(),
			cli.Toggle(cli.Spec{Name: "ready", Usage: "ask /readyz alone, as a health check does, and print only why the agent is not ready"}),
			cli.Toggle(cli.Spec{Name: "watch", Usage: "show it again every second, until interrupted"})}, cli.SharedFlags()...),
		Action: p.status,
	}, cli.Page{
		Description: `Asks the agent on --listen: is it ready, and if not why; what it has heard from the registry and applied to
HAProxy; problems, pending hosts, and its last passes. If no agent answers, it says so, reads the registry, the
file and the process itself, and shows what differs, as hapsync plan does.

An agent of this machine that has TLS is known by the certificate in its --web-config-file. One that asks for a password, or is
elsewhere, is asked by --agent-url ($HAPSYNC_AGENT_URL). $SSL_CERT_FILE names an authority that this machine does not know.`,
		Example: `
hapsync status
hapsync status --watch
hapsync status --listen unix:/run/hapsync/agent.sock -o json
hapsync status --agent-url https://lb1:9101
hapsync status --ready`,
		ExitCodes: `
0 the agent is ready; 1 it is not, or none answers; 2 usage; 3 the registry is not reachable; 4 HAProxy is not
reachable or refused; 5 held by a safeguard; 130 interrupted`,
	})
}

// A notReadyError has its reasons on standard output already.
type notReadyError struct {
	why  string
	code int
}

func (e notReadyError) Error() string { return e.why }

func (p program) status(c *cli.Context) error {
	agent, err := newInquiry(c)
	switch {
	case err != nil:
		return err
	case c.Bool("ready"):
		return agent.ready(c.Context)
	case c.Bool("watch"):
		return p.watch(c, agent)
	}
	status, err := agent.status(c.Context)
	if errors.Is(err, errNoAgent) && c.Err() == nil {
		return p.statusWithoutAgent(c, err)
	}
	if err != nil {
		return err
	}
	if err := p.write(c, status); err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	return verdictOf(status)
}

// verdictOf is the error of a status that was shown: the first reason why the agent is not ready.
func verdictOf(s render.Status) error {
	const why = "the agent is not ready, see above"
	switch {
	case s.Ready:
		return nil
	case s.Registry.Error != "":
		return notReadyError{why, exitRegistry}
	case s.HAProxy.Error != "":
		return notReadyError{why, exitHAProxy}
	case s.Held != "":
		return notReadyError{why, exitHeld}
	}
	return notReadyError{why, exitError}
}

// statusWithoutAgent shows what sync would do, without asking the agent.
func (p program) statusWithoutAgent(c *cli.Context, why error) error {
	report, err := p.planOnly(c)
	if c.String("output") == "json" {
		err = errors.Join(err, render.JSON(p.stdout, render.AbsentStatus(report, why, err)))
	} else {
		p.say("agent        %s; registry, file and process are compared now\n", why)
		err = p.show(c, report, err)
	}
	switch {
	case err != nil:
		return err
	case report.Down != nil:
		return fmt.Errorf("%w: %w", errNotRunning, report.Down)
	}
	return notReadyError{why.Error(), exitError}
}

func (p program) planOnly(c *cli.Context) (sync.Report, error) {
	pass, err := p.prepare(c)
	if err != nil {
		return sync.Report{}, err
	}
	defer pass.source.Close()
	return pass.syncer.Plan(c.Context)
}
