package main

import (
	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
)

const appDescription = `hapsync reads which hosts serve which domain from etcd, compares that with what HAProxy runs, and applies
the difference: through the Runtime API if the running process can take it; if not, through a checked edit of the managed
file and one reload, which refuses no connection.

A flag may stand before or after the command. If a flag is not given, its environment variable counts, then
the file of --config-file (YAML, the flags' names are the keys; /etc/hapsync/hapsync.yaml if it exists), then the default.`

const appTail = `
EXAMPLE:
   etcdctl put /services/web/a.abc.com/server1/ip   10.0.0.1
   etcdctl put /services/web/a.abc.com/server1/port 10000
   hapsync init     # once: writes haproxy.cfg and hapsync.cfg, says how to start HAProxy
   hapsync plan     # what would be done, and why
   hapsync sync     # do it
   hapsync agent    # do it again at each change, for as long as it runs
`

// app is the whole command line. It is made for each run, because urfave keeps state in flags and commands.
func (p program) app() *cli.App {
	commands := []*cli.Command{
		p.initCommand(), p.checkCommand(), p.adoptCommand(), p.completionCommand(), p.versionCommand(),
		p.planCommand(), p.syncCommand(), p.agentCommand(),
		p.registerCommand(), p.deregisterCommand(), p.drainCommand(), p.maintCommand(), p.readyCommand(), p.weightCommand(),
		p.listCommand(), p.agentsCommand(), p.explainCommand(), p.statusCommand(), p.historyCommand(), p.certsCommand(), p.docsCommand(),
		cli.HelpCommand(), cli.FlagsCommand(),
	}
	return &cli.App{
		Name:                  "hapsync",
		Usage:                 "keep HAProxy in line with a service registry in etcd",
		UsageText:             "hapsync [flags] command [flags]",
		Description:           appDescription,
		CustomAppHelpTemplate: cli.AppHelp(groups(), commands) + appTail + exitCodeHelp(),
		Version:               thisBuild().Version,
		Flags:                 append(cli.SharedFlags(), cli.HelpFlag()),
		Commands:              commands,
		Action:                cli.NoCommand,
		OnUsageError:          cli.OnUsageError,
		ExitErrHandler:        func(*cli.Context, error) {},
		EnableBashCompletion:  true,
		BashComplete:          cli.CompleteApp,
		Writer:                noting{cli.Wrapped(p.stdout), p.unsaid},
		ErrWriter:             p.stderr,
	}
}
