package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	stdsync "sync"
	"syscall"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"

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
		cli.Text(cli.Spec{Name: "resync", Value: "60s", Check: cli.Duration,
			Usage: "`TIME` after which registry, file and process are read and compared although nothing is known to have changed"}),
		cli.Text(cli.Spec{Name: "reload-interval", Value: "2s", Check: cli.Duration,
			Usage: "least `TIME` between two reloads; the first comes at once, a postponed one stays pending"}),
		maxRemovalFlag(),
		cli.Text(cli.Spec{Name: "name", Check: registry.CheckHost, Fallback: "the machine's host name", Usage: "`NAME` of the agent in its reports"}),
		reportPrefixFlag(),
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

On --listen it answers /healthz (the agent works), /readyz (HAProxy is in line; else why not), /metrics (for
Prometheus) and /status (JSON; hapsync status shows it). SIGTERM and SIGINT end it after the running pass and leave
HAProxy as it is. SIGHUP makes it read the config file again, and everything else too. Under systemd it says
when it is ready, and feeds the watchdog.`,
		Example: `
hapsync agent
hapsync agent --config-file /etc/hapsync/hapsync.yaml --log-format json
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
	s := newService()
	j, err := p.newJob(c, s.observe)
	if err != nil {
		return err
	}
	return s.run(c.Context, j, hangups, func(now *job) (*job, error) { return p.nextJob(c.Context, now, s.observe) })
}

// An observer is told how long passes take.
type observer = func(sync.PassKind, time.Duration)

// gcPercent trades CPU, of which an agent needs little, for memory: at 10,000 domains it takes 115 to 140 MB instead of
// 140 to 190.
const gcPercent = 40

// A job is one agent with what it works on: all that depends on the settings.
type job struct {
	agent    *sync.Agent
	registry source
	pulse    *pulse
	announce *etcd.AnnounceConfig // nil where the agent does not report
	listen   listenAddress
	log      *slog.Logger
	settings string // what the settings are, the files that they name included
	ended    chan error
}

// newJob makes what the settings ask for. An etcd that is away is no error.
func (p program) newJob(c *cli.Context, observe observer) (*job, error) {
	settings, err := p.haproxySettings(c)
	if err != nil {
		return nil, err
	}
	listen, err := parseListen(c.String("listen"))
	if err != nil {
		return nil, cli.Usagef(c, "--listen: %w", err)
	}
	announce, err := p.announceConfig(c, settings.Logger)
	if err != nil {
		return nil, err
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
	j := &job{
		registry: source,
		announce: announce,
		pulse:    &pulse{File: target, limit: longestPass + settings.ReloadTimeout},
		listen:   listen,
		log:      settings.Logger,
		settings: fingerprint(c),
		ended:    make(chan error, 1),
	}
	j.agent, err = sync.NewAgent(sync.AgentConfig{
		Follower:       j.registry,
		Process:        target,
		File:           j.pulse,
		Layout:         sync.Layout{Frontends: settings.Frontends},
		Policy:         policy(c),
		ReloadInterval: c.Duration("reload-interval"),
		Resync:         c.Duration("resync"),
		Observe:        observe,
		Begin:          j.pulse.begin,
		Logger:         j.log,
	})
	if err != nil {
		return nil, errors.Join(err, j.registry.Close())
	}
	return j, nil
}

// nextJob settles flags, environment and config file anew. It returns no job where the settings are what they were.
func (p program) nextJob(ctx context.Context, now *job, observe observer) (*job, error) {
	var next *job
	app := p.app()
	app.Command("agent").Action = func(c *cli.Context) (err error) {
		if fingerprint(c) != now.settings {
			next, err = p.newJob(c, observe)
		}
		return err
	}
	err := app.RunContext(ctx, p.args)
	return next, err
}

// fingerprint tells settings apart. Of the files that they name it has those that are read at the start only.
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
		content, _ := os.ReadFile(c.String(name)) // a job that cannot read it says so
		fmt.Fprintf(&b, "%x\n", sha256.Sum256(content))
	}
	return b.String()
}

// start makes the agent run until stop is called, which waits for the pass that is under way.
func (j *job) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		j.ended <- j.agent.Run(ctx)
		close(j.ended)
	}()
	var reporting stdsync.WaitGroup
	if j.announce != nil {
		reports := make(chan registry.AgentReport)
		reporting.Go(func() { j.agent.Report(ctx, thisBuild().Version, reports) })
		reporting.Go(func() { j.registry.Announce(ctx, *j.announce, reports) })
	}
	return func() {
		cancel()
		for range j.ended {
		}
		reporting.Wait()
		if err := j.registry.Close(); err != nil {
			j.log.Warn("hang up on etcd", "error", err)
		}
	}
}

// longestPass is what no pass takes, reload apart: beyond it the pass loop counts as stuck.
const longestPass = 10 * time.Minute
