package main

import (
	"errors"
	"fmt"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
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
	denied := errors.Is(err, registry.ErrDenied)
	if err != nil && !denied {
		return err
	}
	all, err := client.Agents(c.Context, prefix)
	if err != nil {
		return err
	}
	for _, a := range all.Agents {
		if denied {
			last = max(last, a.Heard) // all that is known to a user who may not read all services
		}
	}
	out := render.Roster{Version: 1, Prefix: c.String("prefix"), Revision: last, Agents: []render.RosterLine{}, Others: all.Others, Problems: all.Problems}
	for _, a := range all.Agents {
		ago, gone, err := client.Heard(c.Context, a)
		if err != nil {
			return err
		}
		if !gone {
			out.Agents = append(out.Agents, render.NewRosterLine(a, last, ago))
		}
	}
	if err := render.Write(p.stdout, c.String("output"), out); err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	return nil
}
