package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
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
	end := p.progress.on("%s", etcdOf(c))
	out, err := readRoster(c.Context, client, c.String("prefix"), prefix)
	end()
	if err != nil {
		return err
	}
	if err := p.write(c, out); err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	return nil
}

// A reporter reads the agents' reports from etcd.
type reporter interface {
	LastChange(ctx context.Context) (registry.Revision, error)
	Agents(ctx context.Context, prefix string) (registry.Roster, error)
	Heard(ctx context.Context, a registry.AgentReport) (ago time.Duration, gone bool, err error)
}

// readRoster reads the reports of the agents that follow a prefix.
func readRoster(ctx context.Context, client reporter, prefix, reports string) (render.Roster, error) {
	last, err := client.LastChange(ctx) // first: a change after the reports would make them look late
	denied := errors.Is(err, registry.ErrDenied)
	if err != nil && !denied {
		return render.Roster{}, err
	}
	all, err := client.Agents(ctx, reports)
	if err != nil {
		return render.Roster{}, err
	}
	if denied { // the user may not read all services: the reports are all that is known
		for _, a := range all.Agents {
			last = max(last, a.Heard)
		}
	}
	out := render.Roster{Version: 1, Prefix: prefix, Revision: last, Agents: []render.RosterLine{}, Others: all.Others,
		Problems: []render.RosterProblem{}, Denied: denied}
	for _, problem := range all.Problems {
		out.Problems = append(out.Problems, render.RosterProblem{Key: problem.Key, Reason: problem.Reason})
	}
	for _, a := range all.Agents {
		ago, gone, err := client.Heard(ctx, a)
		if err != nil {
			return render.Roster{}, err
		}
		if !gone {
			out.Agents = append(out.Agents, render.NewRosterLine(a, last, ago))
		}
	}
	return out, nil
}

func reportPrefixFlag() cli.Flag {
	return cli.Text(cli.Spec{Name: "report-prefix", Value: registry.DefaultReportPrefix, Usage: "`KEY` below which agents report"})
}

// reportPrefix is the prefix of the agents' reports.
func reportPrefix(c *cli.Context) (string, error) {
	prefix, err := registry.CheckReportPrefix(c.String("report-prefix"), c.String("prefix"))
	if err != nil {
		return "", cli.Usagef(c, "--report-prefix: %w", err)
	}
	return prefix, nil
}

// announceConfig says where the agent reports; nil if it does not.
func (p program) announceConfig(c *cli.Context, log *slog.Logger) (*etcd.AnnounceConfig, error) {
	if c.Bool("no-report") {
		return nil, nil
	}
	prefix, err := reportPrefix(c)
	if err != nil {
		return nil, err
	}
	name := c.String("name")
	if name == "" {
		name, err = os.Hostname()
		if err == nil {
			err = registry.CheckHost(name)
		}
	}
	if err != nil {
		log.Warn("the agent does not report: the machine's host name cannot be used, give another one with --name", "error", err)
		return nil, nil
	}
	return &etcd.AnnounceConfig{Prefix: prefix, Name: name, Logger: log}, nil
}
