package main

import (
	"errors"
	"fmt"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"

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
hapsync explain a.abc.com/server1
hapsync explain -o json a.abc.com`,
		ExitCodes: `
0 every host that is shown is in rotation; 1 error; 2 usage; 3 the registry is not reachable; 4 HAProxy is not reachable;
7 some host is not in rotation, or there is none; 130 interrupted`,
	})
}

func (p program) explainDomain(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.Usagef(c, "which domain? such as hapsync explain a.abc.com")
	}
	domain, host, err := splitName(c, c.Args().Slice())
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
	if err := p.write(c, render.Explanation{Explanation: e}); err != nil {
		return fmt.Errorf("write the explanation: %w", err)
	}
	return explained(e)
}

// explained is the error of an explanation that was shown.
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
