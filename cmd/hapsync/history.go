package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/journal"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"

	"github.com/hapsync/hapsync/registry"
)

func (p program) historyCommand() *cli.Command {
	flags := []cli.Flag{
		cli.OutputFlag(),
		cli.Text(cli.Spec{Name: "since", Check: cli.Duration, Usage: "only passes of the last `TIME`, such as 1h"}),
		cli.Text(cli.Spec{Name: "domain", Check: registry.CheckDomain, Usage: "only what was changed of one `DOMAIN`"}),
		cli.Text(cli.Spec{Name: "number", Aliases: []string{"n"}, Value: "50", Check: cli.Positive, Usage: "at most so many `PASSES`, the last ones"}),
	}
	return p.environment().Command(&cli.Command{
		Name:      "history",
		Category:  groupLook,
		Usage:     "show what changed in HAProxy, when and why",
		ArgsUsage: "[REVISION]",
		Flags:     append(flags, cli.SharedFlags(cli.Registry)...),
		Action:    p.history,
	}, cli.Page{
		Description: `Shows what the agent and hapsync sync have done on this machine, the newest first: a line for each pass that changed
something, was held or failed, with who asked for it (watch: the registry changed; resync: everything was compared;
drift: HAProxy was changed by something else; hand: hapsync sync, or SIGHUP) and the reasons of a reload. HAProxy's
process and its file have a line each. With a revision it shows all that was done for that one, change by change.

It reads the journal, which only those can read who may write the managed file. What fails again and again in the same way
is there once.`,
		Example: `
hapsync history --since 1h
hapsync history --domain a.abc.com -n 10
hapsync history 812
hapsync history -o json`,
		ExitCodes: `0 shown; 1 error, or there is no such pass; 2 usage`,
	})
}

func (p program) history(c *cli.Context) error {
	q := journal.Query{Domain: c.String("domain"), Most: c.Int("number")}
	if since := c.Duration("since"); since > 0 {
		q.Since = time.Now().Add(-since)
	}
	whole := c.NArg() > 0
	if whole {
		revision, err := strconv.ParseInt(c.Args().First(), 10, 64)
		if err != nil || revision <= 0 || c.NArg() > 1 {
			return cli.Usagef(c, "%q is no revision", c.Args().First())
		}
		q.Revision = registry.Revision(revision)
	}
	file, ok := p.journalFile(c)
	if !ok {
		return errors.New("no journal is kept: --journal is off")
	}
	entries, err := file.Read(q)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: no agent and no hapsync sync has done anything here yet, or their --managed-file or --journal is another one", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: only those who may write the managed file can read it", err)
	case err != nil:
		return err
	case whole && len(entries) == 0:
		return fmt.Errorf("no pass about revision %d is in the journal %s", q.Revision, file.Path)
	}
	if err := p.write(c, render.History{Entries: entries, Whole: whole}); err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	return nil
}
