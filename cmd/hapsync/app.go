package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"
)

const appDescription = `hapsync reads which hosts serve which domain from etcd, compares that with what HAProxy runs, and applies
the difference: through the Runtime API where the running process can take it, through a validated edit of the
managed file and one seamless reload where it cannot.

A flag may stand before or after the command. Where a flag is not given, its environment variable counts, then
the file of --config-file (YAML, the flags' names are the keys), then the default.`

const appTail = `
EXAMPLE:
   etcdctl put /services/web/a.abc.com/server1/ip   10.0.0.1
   etcdctl put /services/web/a.abc.com/server1/port 10000
   hapsync init     # once: writes haproxy.cfg and hapsync.cfg, says how to start HAProxy
   hapsync plan     # what would be done, and why
   hapsync sync     # do it
   hapsync agent    # do it again at each change, for as long as it runs

EXIT CODES:
   0    in line, or brought in line
   1    error
   2    usage: unknown command or flag, bad value, stray argument
   3    registry not reachable
   4    HAProxy not reachable, or it refused
   5    held by a safeguard
   6    applied, but some domain or host is left out
   7    not in effect: --wait, some agent has not applied it in time; explain, the host gets no requests
   10   plan --detailed-exitcode: there are changes
   130  interrupted
`

// app is the whole command line. It is made anew for each run: urfave keeps state in flags and commands.
func (p program) app() *cli.App {
	return &cli.App{
		Name:                  "hapsync",
		Usage:                 "keep HAProxy in line with a service registry in etcd",
		UsageText:             "hapsync [flags] command [flags]",
		Description:           appDescription,
		CustomAppHelpTemplate: cli.AppHelpTemplate + appTail,
		Version:               thisBuild().Version,
		Flags:                 sharedFlags(),
		Commands: []*cli.Command{
			p.initCommand(), p.syncCommand(), p.planCommand(), p.agentCommand(), p.listCommand(),
			p.registerCommand(), p.deregisterCommand(), p.readyCommand(), p.drainCommand(), p.maintCommand(), p.weightCommand(),
			p.agentsCommand(), p.explainCommand(), p.statusCommand(), p.checkCommand(), p.versionCommand(), p.completionCommand(),
		},
		Action:               noCommand,
		OnUsageError:         onUsageError,
		ExitErrHandler:       func(*cli.Context, error) {},
		EnableBashCompletion: true,
		Writer:               p.stdout,
		ErrWriter:            p.stderr,
	}
}

// A page is what the help of a command shows beside its flags.
type page struct {
	description string
	example     string
	exitCodes   string
}

// command completes a command: its help, the resolution of its flags, and the refusal of stray arguments
// (those beyond the names in ArgsUsage).
func (p program) command(cmd *cli.Command, help page) *cli.Command {
	cmd.Description = help.description
	cmd.UsageText = strings.TrimSpace("hapsync " + cmd.Name + " [flags] " + cmd.ArgsUsage)
	cmd.CustomHelpTemplate = cli.CommandHelpTemplate + section("EXAMPLE", help.example) + section("EXIT CODES", help.exitCodes)
	cmd.HideHelpCommand = true
	cmd.OnUsageError = onUsageError
	cmd.Before = p.before
	action := cmd.Action
	cmd.Action = func(c *cli.Context) error {
		if extra := c.Args().Slice(); len(extra) > mostArguments(cmd) {
			return usagef(c, "stray argument %q (flags come before arguments)", extra[len(extra)-1])
		}
		return action(c)
	}
	return cmd
}

// mostArguments is how many arguments a command takes.
func mostArguments(cmd *cli.Command) int {
	if strings.Contains(cmd.ArgsUsage, "...") {
		return math.MaxInt
	}
	return len(strings.Fields(cmd.ArgsUsage))
}

func section(title, text string) string {
	if text == "" {
		return ""
	}
	return "\n" + title + ":\n   " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n   ") + "\n"
}

// noCommand is the action of hapsync without a command, or with one that there is not.
func noCommand(c *cli.Context) error {
	if !c.Args().Present() {
		c.App.Writer = c.App.ErrWriter
		_ = cli.ShowAppHelp(c)
		return usagef(c, "which command?")
	}
	return usagef(c, "unknown command %q%s", c.Args().First(), didYouMean(nearestCommand(c.App, c.Args().First())))
}

func nearestCommand(app *cli.App, name string) string {
	_, nearest, _ := strings.Cut(cli.SuggestCommand(app.VisibleCommands(), name), `"`)
	return strings.TrimSuffix(nearest, `"?`)
}

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", name)
}

// onUsageError rewords what the flag package says.
func onUsageError(c *cli.Context, err error, _ bool) error {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return usageError{command: commandName(c), err: errors.New(longDashes(err.Error()))}
	}
	if owner := ownerOf(c.App, name); owner != "" {
		return usagef(c, "--%s is a flag of %q: write it after the command", name, "hapsync "+owner)
	}
	return usagef(c, "unknown flag --%s%s", name, didYouMean(cli.SuggestFlag(c.Command.Flags, name, false)))
}

// longDashes gives the flags in a message of the flag package their second dash.
func longDashes(message string) string {
	return regexp.MustCompile(` (-[a-z][a-z-]+)`).ReplaceAllString(message, " -$1")
}

// ownerOf is the command that has a flag of this name; empty where there is none.
func ownerOf(app *cli.App, flag string) string {
	for _, cmd := range app.Commands {
		for _, f := range cmd.Flags {
			if f.Names()[0] == flag {
				return cmd.Name
			}
		}
	}
	return ""
}

// commandName is empty before a command is known.
func commandName(c *cli.Context) string {
	if c.Command == nil || c.Command.Name == c.App.Name {
		return ""
	}
	return c.Command.Name
}
