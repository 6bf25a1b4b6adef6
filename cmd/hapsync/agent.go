package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/daemon"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/journal"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/web"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
	"github.com/hapsync/hapsync/sync"
)

//go:embed hapsync-agent.service
var agentUnit string

//go:embed hapsync.yaml
var agentConfig string

func (p program) agentCommand() *cli.Command {
	flags := []cli.Flag{
		listenFlag(),
		webConfigFlag(),
		certsFlag(),
		cli.Text(cli.Spec{Name: "resync", Value: "60s", Check: cli.Duration,
			Usage: "`TIME` after which registry, file and process are read and compared although nothing is known to have changed"}),
		cli.Text(cli.Spec{Name: "reload-interval", Value: "2s", Check: cli.Duration,
			Usage: "least `TIME` between two reloads; the first comes at once, a postponed one stays pending"}),
		cli.Text(cli.Spec{Name: "reload-splay", Value: "0s", Check: pause,
			Usage: "most `TIME` that a reload is delayed: each agent draws a part of it for each reload, " +
				"so that a fleet does not reload at once; 0s for no delay"}),
		cli.Text(cli.Spec{Name: "settle", Value: "100ms", Check: cli.Duration,
			Usage: "`TIME` for which a host keeps its address if only one of its ip and port is put, and that key has not been changed alone before"}),
		maxRemovalFlag(),
		cli.Text(cli.Spec{Name: "name", Check: registry.CheckHost, Fallback: "the machine's host name", Usage: "`NAME` of the agent in its reports"}),
		reportPrefixFlag(),
		cli.Toggle(cli.Spec{Name: "shadow", Usage: "change nothing, beside another tool such as confd: " +
			"say what would be done, and whether the other tool does the same"}),
		cli.Toggle(cli.Spec{Name: "no-report", Usage: "do not tell in the registry what is applied: commands with --wait do not wait for this agent"}),
		&cli.BoolFlag{Name: "print-unit", DisableDefaultText: true, Usage: "print a systemd unit for the agent, and how to install it; do nothing else"},
		&cli.BoolFlag{Name: "print-config", DisableDefaultText: true, Usage: "print an example of the file for --config-file; do nothing else"},
	}
	return p.environment().Command(&cli.Command{
		Name:     "agent",
		Category: groupSync,
		Usage:    "keep HAProxy in line with the registry, for as long as it runs",
		Flags:    append(flags, cli.SharedFlags()...),
		Action:   p.agent,
	}, cli.Page{
		Description: `Follows the registry and brings HAProxy in line with every change, as hapsync sync does once. With etcd away,
HAProxy keeps what it has, and the agent waits; a pass that a safeguard objects to is held, and the agent stays.

On --listen it has a page for people (/) and answers /healthz (the agent works), /readyz (HAProxy is in line; else why
not), /metrics (for Prometheus), /status (JSON; hapsync status shows it) and /api/v1 (JSON). SIGTERM and SIGINT end it after the running pass and leave
HAProxy as it is. SIGHUP makes it read the config file again, and everything else too. Under systemd it says
when it is ready, and feeds the watchdog.

With --shadow it follows the registry and reads HAProxy, and that is all: it writes no file (no journal either), takes no
lock, sends HAProxy nothing but show commands, puts no certificate into it, and writes nothing to etcd. hapsync status, the
log, the page and /metrics say what it would do, and whether the other tool does the same. hapsync adopt says how to switch.`,
		Example: `
hapsync agent
hapsync agent --config-file /etc/hapsync/second.yaml --log-format json
hapsync agent --shadow --managed-file /etc/haproxy/haproxy.cfg
hapsync agent --listen unix:/run/hapsync/agent.sock
hapsync agent --print-unit > /etc/systemd/system/hapsync-agent.service`,
		ExitCodes: `0 ended by SIGTERM or SIGINT; 1 error; 2 usage`,
	})
}

func (p program) agent(c *cli.Context) error {
	switch {
	case c.Bool("print-unit"):
		p.say("%s", agentUnit)
		return nil
	case c.Bool("print-config"):
		p.say("%s", agentConfig)
		return nil
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	p.progress = nil // the log says it
	s := daemon.New(agentBuild())
	a, err := p.newAgent(c, s)
	if err != nil {
		return err
	}
	return s.Run(c.Context, a, hangups, func(now *daemon.Agent) (*daemon.Agent, error) { return p.nextAgent(c.Context, now, s) })
}

// agentBuild is the build that the agent reports.
func agentBuild() daemon.Build {
	b := thisBuild()
	return daemon.Build{Version: b.Version, Commit: b.Commit, Go: b.Go}
}

// gcPercent trades CPU, of which an agent needs little, for memory: at 10,000 domains it saves about a fifth.
const gcPercent = 40

// newAgent makes the agent that the settings describe. An etcd that is unavailable is no error.
func (p program) newAgent(c *cli.Context, s *daemon.Daemon) (*daemon.Agent, error) {
	settings, err := p.haproxySettings(c)
	if err != nil {
		return nil, err
	}
	listen, err := daemon.ParseAddress(c.String("listen"))
	if err != nil {
		return nil, cli.Usagef(c, "--listen: %w", err)
	}
	announce, err := p.announceConfig(c, settings.Logger)
	if err != nil {
		return nil, err
	}
	shadow := c.Bool("shadow")
	if shadow {
		announce = nil // a report would be a key in etcd
	}
	settings.Background = true
	target, err := p.open(settings)
	if err != nil {
		return nil, err
	}
	source, err := p.registry(c)
	if err != nil {
		return nil, err
	}
	a := &daemon.Agent{
		Registry:  source,
		Announce:  announce,
		WebConfig: c.String("web-config-file"),
		Subject:   p.subject(c, source, announce),
		Watchdog:  &daemon.Watchdog{Limit: longestPass + settings.ReloadTimeout},
		Listen:    listen,
		Log:       settings.Logger,
		Settings:  fingerprint(c),
		Version:   thisBuild().Version,
	}
	if shadow {
		err = setShadow(c, a, s, source, target, layout(c, settings))
	} else {
		err = p.setActive(c, a, s, source, target, layout(c, settings))
	}
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return a, nil
}

// setActive makes the agent one that keeps HAProxy in line.
func (p program) setActive(c *cli.Context, a *daemon.Agent, s *daemon.Daemon, source source, target target, layout sync.Layout) (err error) {
	a.Watchdog.File = target
	a.Certs = watchedCerts(c, target, a.Log)
	var keep func(sync.Entry)
	if file, ok := p.journalFile(c); ok {
		a.Journal = journal.NewWriter(file, a.Log)
		a.Subject.History = file.Read
		keep = a.Journal.Add
	}
	a.Sync, err = sync.NewAgent(sync.AgentConfig{
		Follower:       source,
		Process:        target,
		File:           a.Watchdog,
		Layout:         layout,
		Policy:         policy(c),
		ReloadInterval: c.Duration("reload-interval"),
		ReloadSplay:    c.Duration("reload-splay"),
		Resync:         c.Duration("resync"),
		Observe:        s.Observe,
		Measure:        s.Measure,
		Begin:          a.Watchdog.Begin,
		Journal:        keep,
		Logger:         a.Log,
	})
	return err
}

// setShadow makes the agent a shadow. Its HAProxy has no method that changes anything, and its history is in memory.
func setShadow(c *cli.Context, a *daemon.Agent, s *daemon.Daemon, source source, looker sync.Looker, layout sync.Layout) (err error) {
	history := new(journal.Memory)
	a.Subject.History, a.Subject.Confirm = history.Read, "" // there is nothing to confirm
	a.Sync, err = sync.NewShadow(sync.ShadowConfig{
		Follower: source,
		Looker:   looker,
		Layout:   layout,
		Policy:   policy(c),
		Resync:   c.Duration("resync"),
		Observe:  s.Observe,
		Begin:    a.Watchdog.Begin,
		Journal:  history.Add,
		Logger:   a.Log,
		Subject:  compared(c),
	})
	return err
}

// compared identifies what a shadow compares, besides its layout. The endpoints of etcd do not matter.
func compared(c *cli.Context) string {
	return fmt.Sprintf("%q", []string{
		c.String("prefix"), fmt.Sprintf("%q", c.StringSlice("domains")), fmt.Sprintf("%q", c.StringSlice("addresses")), c.String("allow-loopback"),
		c.String("base-file"), c.String("managed-file"), fmt.Sprintf("%q", c.StringSlice("haproxy-file")), c.String("runtime-socket"),
	})
}

// subject is the part of the settings that the page and the API show.
func (p program) subject(c *cli.Context, source source, announce *etcd.AnnounceConfig) web.Subject {
	s := web.Subject{
		Name: "hapsync", Hapsync: thisBuild().Version, Endpoints: cli.Words(c.StringSlice("endpoints")...), DrainTimeout: c.Duration("drain-timeout"),
		Confirm: "hapsync sync --allow-mass-removal", Keys: source.Keys,
	}
	if name, err := os.Hostname(); err == nil {
		s.Name = name
	}
	if file := c.String("config-file"); file != "" {
		s.Confirm += " --config-file " + shellWord(file)
	}
	reports, ok := source.(reporter)
	if announce != nil {
		s.Name = announce.Name
	}
	if announce != nil && ok {
		s.Roster = func(ctx context.Context) (render.Roster, error) {
			return readRoster(ctx, reports, c.String("prefix"), announce.Prefix)
		}
	}
	return s
}

// shellWord quotes a text for a shell, if it has to.
func shellWord(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("/._-:,=@+", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// nextAgent reads flags, environment and config file again. It returns nil if the settings have not changed.
func (p program) nextAgent(ctx context.Context, now *daemon.Agent, s *daemon.Daemon) (*daemon.Agent, error) {
	var next *daemon.Agent
	app := p.app()
	app.Command("agent").Action = func(c *cli.Context) (err error) {
		if fingerprint(c) != now.Settings {
			next, err = p.newAgent(c, s)
		}
		return err
	}
	err := app.RunContext(ctx, p.args)
	return next, err
}

// fingerprint identifies the settings, and the content of the files that are read only at the start.
func fingerprint(c *cli.Context) string {
	var b strings.Builder
	for _, f := range c.Command.Flags {
		s, ok := f.(*cli.Setting)
		switch {
		case !ok:
		case s.IsList():
			fmt.Fprintf(&b, "%s=%q\n", s.Name, c.StringSlice(s.Name))
		default:
			fmt.Fprintf(&b, "%s=%q\n", s.Name, c.String(s.Name))
		}
	}
	for _, name := range []string{"cacert", "password-file"} {
		content, _ := os.ReadFile(c.String(name)) // newAgent returns the error
		fmt.Fprintf(&b, "%x\n", sha256.Sum256(content))
	}
	return b.String()
}

// listenFlag is where the agent answers, and where hapsync status asks.
func listenFlag() cli.Flag {
	check := func(s string) error {
		_, err := daemon.ParseAddress(s)
		return err
	}
	return cli.Text(cli.Spec{Name: "listen", Value: "127.0.0.1:9101", Check: check,
		Usage: "`ADDRESS` where the agent has its page, and answers /healthz, /readyz, /metrics, /status and /api/v1: " +
			"host:port, unix:/path or /path; off for none"})
}

func webConfigFlag() cli.Flag {
	return cli.Text(cli.Spec{Name: "web-config-file", Usage: "YAML `FILE` of Prometheus' exporter-toolkit, " +
		"with the certificate and the passwords (bcrypt) of the address where the agent answers"})
}

// longestPass is longer than any pass, apart from its reload. After that time the loop counts as stuck.
const longestPass = 10 * time.Minute
