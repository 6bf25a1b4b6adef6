package main

import (
	"errors"
	"fmt"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

func (p program) planCommand() *cli.Command {
	flags := append(passFlags(),
		cli.Toggle(cli.Spec{Name: "summary", Usage: "count the steps, with some of the domains, as is done in any case for more than 200 steps"}),
		cli.Text(cli.Spec{Name: "domain", Check: registry.CheckDomain, Usage: "show the steps of one `DOMAIN` alone"}),
		cli.Toggle(cli.Spec{Name: "diff", Usage: "print what would change in the managed file instead, as a unified diff"}),
		cli.Toggle(cli.Spec{Name: "detailed-exitcode", Usage: "exit with 10 if there are changes, with 0 if there are none"}),
	)
	return p.environment().Command(&cli.Command{
		Name:     "plan",
		Category: groupSync,
		Usage:    "say what sync would do and why, line by line; reads only",
		Flags:    append(flags, cli.SharedFlags()...),
		Action:   p.plan,
	}, cli.Page{
		Description: `Prints one line for each step that sync would take, domain by domain: its way (runtime, transaction or rewrite), +
for an addition, ~ for a change, - for a removal, and the object; for a reload, its reason. A plan of more than 200 steps
is counted instead; --domain shows one domain of it, -o json all. Nothing is written, no command that changes anything is
sent, and no lock is taken.`,
		Example: `
hapsync plan
hapsync plan --domain a.abc.com
hapsync plan --diff
hapsync plan --detailed-exitcode || echo "HAProxy is not in line"
hapsync plan -o json`,
		ExitCodes: `
0 plan made; 1 error; 2 usage; 3 registry not reachable; 4 HAProxy refused, or is not reachable though --runtime-socket names it or its master answers (with --detailed-exitcode: whenever it is not);
5 sync would be held by a safeguard; 10 with --detailed-exitcode: there are changes; 130 interrupted`,
	})
}

func (p program) plan(c *cli.Context) error {
	if c.Bool("diff") && c.String("output") == "json" {
		return cli.Usagef(c, "--diff is text: leave out -o json, which has all steps")
	}
	report, err := p.makePlan(c)
	if err != nil {
		return err
	}
	return planVerdict(c, report)
}

// planVerdict is the error of a plan that was made.
func planVerdict(c *cli.Context, report sync.Report) error {
	switch {
	case report.Down != nil && (c.String("runtime-socket") != "" || errors.Is(report.Down, haproxy.ErrRuns)):
		return fmt.Errorf("%w: %w", errNotReached, report.Down) // HAProxy should be reachable: the socket is wrong
	case !c.Bool("detailed-exitcode"):
		return nil
	case !report.Plan.Empty():
		return errChanges
	case report.Down != nil:
		return fmt.Errorf("%w: %w", errNotRunning, report.Down)
	}
	return nil
}

// makePlan makes and shows the plan, even if a safeguard would hold it.
func (p program) makePlan(c *cli.Context) (sync.Report, error) {
	pass, err := p.prepare(c)
	if err != nil {
		return sync.Report{}, err
	}
	defer pass.source.Close()
	report, err := pass.syncer.Plan(c.Context)
	var held *sync.HeldError
	if c.Bool("diff") && (err == nil || errors.As(err, &held)) {
		return report, errors.Join(p.showDiff(c, pass, report), err)
	}
	return report, p.show(c, report, err)
}

// showDiff prints what would change in the managed file.
func (p program) showDiff(c *cli.Context, pass pass, report sync.Report) error {
	if !report.Plan.EditsFile() {
		return nil
	}
	have, next, err := pass.target.Preview(report.File)
	if err != nil {
		return err
	}
	text := render.Diff(c.String("managed-file"), have, next)
	if p.colored(c) {
		text = render.Colored(text)
	}
	p.say("%s", text)
	return nil
}
