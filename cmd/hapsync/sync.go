package main

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/sync"
)

func (p program) syncCommand() *cli.Command {
	flags := append(passFlags(),
		cli.Toggle(cli.Spec{Name: "dry-run", Aliases: []string{"noop"}, Usage: "only say what would be done, as hapsync plan does"}),
		cli.Toggle(cli.Spec{Name: "onetime", Usage: "does nothing: sync always runs once", Hidden: true}),
	)
	return p.environment().Command(&cli.Command{
		Name:     "sync",
		Category: groupSync,
		Usage:    "bring HAProxy in line with the registry, once",
		Flags:    append(flags, cli.SharedFlags()...),
		Action:   p.sync,
	}, cli.Page{
		Description: `Reads the registry, the managed file and the running process, and makes the two agree with the registry:
through the Runtime API where that is possible, then in the managed file, then by one reload if one is needed.
A second run right after a good one has nothing to do. If HAProxy does not run, the file is brought in
line all the same.

For those who come from confd, --node, --noop and --onetime are accepted; --onetime ($HAPSYNC_ONETIME) does nothing.`,
		Example: `
hapsync sync
hapsync sync --dry-run
hapsync sync --endpoints http://10.0.0.11:2379,http://10.0.0.12:2379 --frontend webin,webin-tls -o json`,
		ExitCodes: `
0 in line or brought in line; 1 error; 2 usage; 3 registry not reachable; 4 HAProxy not reachable or it refused;
5 held by a safeguard: nothing was touched, or all but the removals that are held; 6 applied, but some domain or host is left out; 130 interrupted`,
	})
}

// passFlags are those of sync and plan.
func passFlags() []cli.Flag {
	return []cli.Flag{
		cli.OutputFlag(),
		cli.Toggle(cli.Spec{Name: "undo-overrides", Usage: "take back weights and states that were set on HAProxy's socket, which an agent keeps"}),
		cli.Toggle(cli.Spec{Name: "rewrite", Usage: "write the whole managed file even if a transaction would do"}),
		cli.Toggle(cli.Spec{Name: "allow-mass-removal", Usage: "remove servers even if --max-removal would hold that"}),
		maxRemovalFlag(),
	}
}

func maxRemovalFlag() cli.Flag {
	return cli.Text(cli.Spec{Name: "max-removal", Value: "50", Check: cli.Percent, Tag: "!!int",
		Usage: "hold a pass that would remove more than this `PERCENT` of the managed servers"})
}

func (p program) sync(c *cli.Context) (err error) {
	if c.Bool("dry-run") {
		_, err := p.makePlan(c)
		return err
	}
	if p.getenv("GOGC") == "" {
		debug.SetGCPercent(150) // for one pass: at 10,000 domains a tenth less CPU for some 20 MB
	}
	pass, err := p.prepare(c)
	if err != nil {
		return err
	}
	defer pass.source.Close()
	unlock, err := pass.target.Lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	began := time.Now()
	end := p.progress.on("the sync")
	report, err := pass.syncer.Sync(c.Context)
	end()
	if entry := report.Entry(err, time.Since(began)); !entry.Empty() {
		p.appendJournal(c, entry)
	}
	if err := p.show(c, report, err); err != nil {
		return err
	}
	return verdict(report)
}

// appendJournal writes the entry into the journal. An error is only logged.
func (p program) appendJournal(c *cli.Context, entry sync.Entry) {
	file, ok := p.journalFile(c)
	if !ok {
		return
	}
	if err := file.Append(entry); err != nil {
		p.environment().Logger(c).Warn("hapsync history will not show this", "error", err)
	}
}

// verdict is the error of a pass that did not fail.
func verdict(report sync.Report) error {
	switch {
	case report.Down != nil:
		return fmt.Errorf("%w: %w", errNotRunning, report.Down)
	case report.LeftOut():
		return errLeftOut
	}
	return nil
}

// A pass is what sync and plan need.
type pass struct {
	syncer *sync.Syncer
	source source
	target target
}

// prepare opens HAProxy first: what is wrong on this machine is found without the registry.
func (p program) prepare(c *cli.Context) (pass, error) {
	settings, err := p.haproxySettings(c)
	if err != nil {
		return pass{}, err
	}
	target, err := p.open(settings)
	if err != nil {
		return pass{}, err
	}
	if p.progress != nil {
		target = &progressTarget{target: target, progress: p.progress}
	}
	source, err := p.registry(c)
	if err != nil {
		return pass{}, err
	}
	syncer, err := sync.New(sync.Config{
		Source:       source,
		Process:      target,
		File:         target,
		Layout:       layout(c, settings),
		Policy:       policy(c),
		ForceRewrite: c.Bool("rewrite"),

		UndoOverrides: c.Bool("undo-overrides"),
	})
	if err != nil {
		return pass{}, errors.Join(err, source.Close())
	}
	return pass{syncer, source, target}, nil
}

// registry is the registry of the settings. It does not connect yet. Bad settings are a usage error.
func (p program) registry(c *cli.Context) (source, error) {
	cfg, err := p.registryConfig(c)
	if err != nil {
		return nil, err
	}
	source, err := p.dial(cfg)
	if err != nil {
		return nil, cli.Usage(c, err)
	}
	if p.progress != nil {
		source = progressSource{source, p.progress, etcdOf(c)}
	}
	return source, nil
}

// show writes the report, even of a pass that failed half-way, and returns the pass's error. If nothing was compared, it writes
// nothing.
func (p program) show(c *cli.Context, report sync.Report, passErr error) error {
	page := render.Report{Report: report, Summary: c.Bool("summary"), Domain: strings.ToLower(c.String("domain"))}
	var held *sync.HeldError
	if !errors.As(passErr, &held) {
		page.Error = passErr
	}
	format := c.String("output")
	if format != "json" && passErr != nil && !report.Compared {
		return passErr
	}
	if err := p.write(c, page); err != nil && passErr == nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return passErr
}
