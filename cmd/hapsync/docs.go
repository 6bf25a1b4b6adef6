package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/daemon"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/reference"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
)

// The groups of commands, in the order of the help.
const (
	groupSetUp = "Set up"
	groupSync  = "Bring HAProxy in line"
	groupHosts = "Hosts"
	groupLook  = "Look"
)

func groups() []string { return []string{groupSetUp, groupSync, groupHosts, groupLook} }

func (p program) docsCommand() *cli.Command {
	return p.environment().Command(&cli.Command{
		Name:      "docs",
		Usage:     "write docs/reference, or the man pages, from the program itself",
		ArgsUsage: "DIR",
		Hidden:    true,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "man", DisableDefaultText: true, Usage: "write the man pages instead"},
		}, cli.SharedFlags(cli.Registry, cli.HAProxy)...),
		Action: p.docs,
	}, cli.Page{
		Description: "Writes the pages into an existing directory, over those of the same names.",
		Example:     "hapsync docs docs/reference\nhapsync docs --man build/man",
		ExitCodes:   "0 written; 1 error; 2 usage",
	})
}

func (p program) docs(c *cli.Context) error {
	dir := c.Args().First()
	if dir == "" {
		return cli.Usagef(c, "into which directory?")
	}
	write := p.reference().Files
	if c.Bool("man") {
		write = p.reference().Manuals
	}
	files, err := write()
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // pages for all to read
			return err
		}
	}
	return nil
}

// reference is what the pages say.
func (p program) reference() reference.Program {
	pages := map[string]cli.Page{}
	p.record = func(command string, page cli.Page) { pages[command] = page }
	app := p.app()
	out := reference.Program{Commands: app.Commands, Groups: groups(), Pages: pages, Outputs: outputs(),
		Metrics: daemon.Sample(), ConfigExample: agentConfig}
	for _, e := range exitMeanings() {
		out.Exits = append(out.Exits, reference.Exit{Code: e.code, Meaning: e.meaning})
	}
	return out
}

// outputs are what commands print with -o json. Shapes of other packages have their texts here.
func outputs() []reference.Output {
	nested := map[string]string{
		"Agent": "`agent`", "registryJSON": "`registry`", "haproxyJSON": "`haproxy`", "waitJSON": "`waiting`",
		"appliedJSON": "`applied`", "overrideJSON": "`override` or `overrides`", "countsJSON": "`counts`", "Pass": "`passes`", "notShown": "`not_shown`",
		"domainJSON": "`domains`", "hostJSON": "`hosts` or `registered`", "pendingJSON": "`pending`", "problemJSON": "`problems`",
		"actionJSON": "`actions`", "keptJSON": "`kept`", "reportProblemJSON": "`problems`", "explainHostJSON": "`hosts`", "serverJSON": "`server`",
		"Key": "`keys`", "RosterLine": "`agents`", "Leaving": "`leaving`",
	}
	report, shapes := "plan and sync", render.Shapes()
	out := []reference.Output{
		{Title: report, Text: "`hapsync plan -o json` and `hapsync sync -o json` print:", Type: shapes["plan"]},
		{Title: "list", Text: "`hapsync list -o json` prints:", Type: shapes["list"]},
		{Title: "agents", Text: "`hapsync agents -o json` prints:", Type: shapes["agents"], Fields: reportTexts()},
		{Title: "explain", Text: "`hapsync explain -o json` prints:", Type: shapes["explain"], Fields: keyTexts()},
		{Title: "status", Text: "`hapsync status -o json` and `/status` of the agent's port print:", Type: shapes["status"],
			Foreign: map[string]string{"report": report}},
		{Title: "version", Text: "`hapsync version -o json` prints:", Type: reflect.TypeFor[build]()},
	}
	for i := range out {
		out[i].Nested = nested
	}
	return slices.Clip(out)
}

// reportTexts are about registry.AgentReport, which agents write under their keys.
func reportTexts() map[string]string {
	return map[string]string{
		"version": "1", "time": "when the report was made, by the clock of the agent's machine", "prefix": "the prefix that the agent follows",
		"heard": "the last change that it has heard of", "applied": "the last change that its HAProxy has",
		"applied_at": "when it did, by the same clock", "behind_seconds": "for how long something had not been applied when the report was made",
		"held": "what a safeguard holds back", "reason": "the first reason why the agent is not ready",
		"problems": "how many keys and domains are left out", "left_out": "some of them, as 'domain' or 'domain/host'",
		"reached": "the last change that is dealt with, but for the domains that `waiting` names, if that is later than `applied`",
		"waiting": "domains that keep `applied` back: they wait for the file or a reload, or are held", "waiting_more": "how many it does not name",
		"left_out_more": "how many it does not name", "leaving": "servers in drain or maint, and removed ones, that still have sessions",
		"more": "how many of those it does not list", "unknown": "why the sessions could not be counted",
		"haproxy": "version of HAProxy", "hapsync": "version of hapsync",
		"domain": "the domain", "host": "the host", "sessions": "sessions as of the report's time",
	}
}

// keyTexts are about registry.Key.
func keyTexts() map[string]string {
	return map[string]string{
		"key": "the key", "value": "its value, cut off if it is long", "host": "the host that it belongs to", "revision": "revision of its last put",
		"lease": "its lease, in hexadecimal as etcdctl has it", "left_seconds": "for how long the lease goes on unless it is kept alive",
	}
}
