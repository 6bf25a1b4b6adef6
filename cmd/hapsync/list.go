package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

func (p program) listCommand() *cli.Command {
	return p.environment().Command(&cli.Command{
		Name:     "list",
		Category: groupLook,
		Usage:    "show the domains and hosts in the registry, pending and bad ones included",
		Flags: append([]cli.Flag{cli.OutputFlag(), cli.Text(cli.Spec{Name: "domain", Check: registry.CheckDomain,
			Usage: "read the keys of one `DOMAIN` alone, as a user does who may read no others"}),
			&cli.BoolFlag{Name: "answers", DisableDefaultText: true,
				Usage: "ask etcd for next to nothing, whatever the user may read, and print nothing: for health checks"},
		}, cli.SharedFlags(cli.HAProxy)...),
		Action: p.list,
	}, cli.Page{
		Description: `Shows what is in the registry, all of it at one revision: each domain with its hosts, hosts that lack their
ip or port so far (pending), and each key that cannot be used, with the reason. On a HAProxy machine, where its files can
be read, it shows the domains, too, whose names HAProxy's configuration has for something else.`,
		Example: `
hapsync list
hapsync list --prefix /services/web -o json
hapsync list --domain a.abc.com --user team-a`,
		ExitCodes: `0 shown; 1 error; 2 usage; 3 registry not reachable; 130 interrupted`,
	})
}

func (p program) list(c *cli.Context) error {
	source, err := p.registry(c)
	if err != nil {
		return err
	}
	defer source.Close()
	if c.Bool("answers") {
		_, err := source.Domain(c.Context, "hapsync.invalid")
		if errors.Is(err, registry.ErrDenied) {
			return nil // etcd has answered
		}
		return err
	}
	read := source.Snapshot
	if domain := c.String("domain"); domain != "" {
		read = func(ctx context.Context) (registry.Snapshot, error) {
			return source.Domain(ctx, strings.ToLower(domain))
		}
	}
	snapshot, err := read(c.Context)
	if errors.Is(err, registry.ErrDenied) && c.String("domain") == "" {
		return fmt.Errorf("%w; or name the domain that the user may read: --domain", err)
	}
	if err != nil {
		return err
	}
	snapshot = p.besideFiles(c, snapshot)
	if err := p.write(c, render.List{Prefix: c.String("prefix"), Snapshot: snapshot}); err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	return nil
}

// besideFiles adds the domains and hosts that are left out because of HAProxy's files, if there are such files.
func (p program) besideFiles(c *cli.Context, snapshot registry.Snapshot) registry.Snapshot {
	settings, err := p.haproxySettings(c)
	if err != nil {
		return snapshot
	}
	instance, err := p.open(settings)
	if err != nil {
		return snapshot
	}
	files, err := instance.Files()
	if err != nil {
		return snapshot
	}
	snapshot = sync.BesideFiles(snapshot, files)
	snapshot.Problems = append(snapshot.Problems, sync.LeftAlone(snapshot, files.Foreign)...)
	return snapshot
}
