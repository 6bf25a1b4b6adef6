package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/daemon"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

func (p program) statusCommand() *cli.Command {
	return p.environment().Command(&cli.Command{
		Name:     "status",
		Category: groupLook,
		Usage:    "show how the running agent is, its last passes, and what is wrong",
		Flags: append([]cli.Flag{cli.OutputFlag(), listenFlag(), maxRemovalFlag(),
			cli.Toggle(cli.Spec{Name: "watch", Usage: "show it again every second, until interrupted"})}, cli.SharedFlags()...),
		Action: p.status,
	}, cli.Page{
		Description: `Asks the agent on --listen: is it ready, and if not why; what it has heard from the registry and applied to
HAProxy; problems, pending hosts, and its last passes. Where no agent answers, it says so, reads the registry, the
file and the process itself, and shows what differs, as hapsync plan does.`,
		Example: `
hapsync status
hapsync status --watch
hapsync status --listen unix:/run/hapsync/agent.sock -o json`,
		ExitCodes: `
0 the agent is ready; 1 it is not, or none answers; 2 usage; 3 the registry is not reachable; 4 HAProxy is not
reachable or refused; 5 held by a safeguard; 130 interrupted`,
	})
}

// errNoAgent is wrapped if no agent listens.
var errNoAgent = errors.New("no agent answers")

// A notReadyError has its reasons on standard output already.
type notReadyError struct {
	why  string
	code int
}

func (e notReadyError) Error() string { return e.why }

func (p program) status(c *cli.Context) error {
	where, err := daemon.ParseAddress(c.String("listen"))
	if err != nil {
		return cli.Usagef(c, "--listen: %w", err)
	}
	if c.Bool("watch") {
		return p.watch(c, where)
	}
	status, err := askAgent(c.Context, where)
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

// verdictOf is the first of what stands in the way.
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

// askAgent returns an error that wraps errNoAgent if no agent listens.
func askAgent(ctx context.Context, where daemon.Address) (render.Status, error) {
	if where.None() {
		return render.Status{}, fmt.Errorf("%w: --listen is off", errNoAgent)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://hapsync/status", nil)
	if err != nil {
		return render.Status{}, err
	}
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return where.Dial(ctx) },
		DisableKeepAlives: true,
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return render.Status{}, fmt.Errorf("%w on %s", errNoAgent, where)
	case err != nil:
		return render.Status{}, fmt.Errorf("ask the agent on %s: %w", where, errors.Unwrap(err))
	}
	defer response.Body.Close()
	status, err := readStatus(response)
	if err != nil {
		return render.Status{}, fmt.Errorf("ask the agent on %s: %w", where, err)
	}
	return status, nil
}

func readStatus(response *http.Response) (render.Status, error) {
	const most = 64 << 20 // a report of 100,000 problems
	var status render.Status
	body, err := io.ReadAll(io.LimitReader(response.Body, most))
	switch {
	case err != nil:
		return status, err
	case response.StatusCode == http.StatusUnauthorized, bytes.Contains(body, []byte("HTTP request to an HTTPS server")):
		return status, errors.New("it wants TLS or a password (--web-config-file), which hapsync status has not: look at its page, or ask /status with curl")
	case response.StatusCode != http.StatusOK:
		return status, fmt.Errorf("it answers %d to /status: is it hapsync's address (--listen)?", response.StatusCode)
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&status); err != nil || status.Version == 0 || status.Agent == nil {
		return status, errors.New("what answers there is no hapsync agent: give the agent's --listen")
	}
	if status.Version != render.StatusVersion {
		return status, fmt.Errorf("it is version %s, whose status this one cannot read: use the same version", registry.OneLine(status.Agent.Version))
	}
	return status, nil
}

// statusWithoutAgent shows what sync would do: registry, file and process as they are now.
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
