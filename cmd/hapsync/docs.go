package main

import (
	"os"
	"path/filepath"
	"reflect"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/daemon"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/reference"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/web"
)

// Groups of commands, in the order of the help.
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

// reference is the content of the pages.
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

// outputs describes what commands print with -o json.
func outputs() []reference.Output {
	nested := map[string]string{
		"Agent": "`agent`", "registryJSON": "`registry`", "haproxyJSON": "`haproxy`", "waitJSON": "`waiting`",
		"appliedJSON": "`applied`", "overrideJSON": "`override` or `overrides`", "countsJSON": "`counts`", "Pass": "`passes`", "notShown": "`not_shown`",
		"domainJSON": "`domains`", "hostJSON": "`hosts` or `registered`", "Pending": "`pending`", "Problem": "`problems`",
		"actionJSON": "`actions`", "keptJSON": "`kept`", "problemJSON": "`problems`", "explainHostJSON": "`hosts`",
		"ruleJSON": "`rules`", "optionsJSON": "`options`", "serverJSON": "`server`",
		"AdoptStep": "`switch` and `back`", "Shadow": "`shadow`", "ShadowChange": "`changes` of `shadow`", "ShadowLook": "`shadow`",
		"Attention": "`attention`", "ServerCount": "`servers`", "HAProxyLook": "`haproxy`", "RegistryLook": "`registry`", "Hold": "`hold`",
		"Domain": "`domains`", "Host": "`host_list`", "Lease": "`lease`", "Step": "`steps`",
		"Entry": "`entries`", "EntryChange": "`changes`", "Key": "`keys`", "RosterLine": "`agents`", "RosterProblem": "`problems`",
		"Certificate": "`certificates`", "Leaving": "`leaving`",
	}
	report, shapes, api := "plan and sync", render.Shapes(), web.Shapes()
	out := []reference.Output{
		{Title: report, Text: "`hapsync plan -o json` and `hapsync sync -o json` print:", Type: shapes["plan"]},
		{Title: "list", Text: "`hapsync list -o json` prints:", Type: shapes["list"]},
		{Title: "agents", Text: "`hapsync agents -o json` prints:", Type: shapes["agents"]},
		{Title: "explain", Text: "`hapsync explain -o json` prints:", Type: shapes["explain"]},
		{Title: "status", Text: "`hapsync status -o json` and `/status` of the agent's port print:", Type: shapes["status"],
			Foreign: map[string]string{"report": report}},
		{Title: "history", Text: "`hapsync history -o json` prints:", Type: shapes["history"]},
		{Title: "adopt", Text: "`hapsync adopt -o json` prints:", Type: shapes["adopt"], Foreign: map[string]string{"plan": report}},
		{Title: "certs", Text: "`hapsync certs --certs /etc/haproxy/certs -o json` prints:", Type: shapes["certs"]},
		{Title: "GET /api/v1/status", Text: "How the agent is, on one screen:", Type: api["status"]},
		{Title: "GET /api/v1/domains", Text: "The domains, by name, so many at a time: `limit` (100, at most 500), `after` " +
			"a name, `q` for those with a text in their name:", Type: api["domains"]},
		{Title: "GET /api/v1/domains/DOMAIN", Text: "One domain with its hosts:", Type: api["domains/DOMAIN"]},
		{Title: "GET /api/v1/plan", Text: "What the agent has not done yet, so many steps at a time (`limit`, `after`):", Type: api["plan"]},
		{Title: "GET /api/v1/history", Text: "What passes did, the newest first, so many at a time: `limit`, `before`, " +
			"`since` a time such as 1h, `domain` for the changes of one. An entry has 50 changes at most; " +
			"`hapsync history 812` has all:", Type: api["history"]},
		{Title: "GET /api/v1/agents", Text: "What `hapsync agents -o json` prints, five seconds old at most, so many agents " +
			"at a time (`limit`, `after` a name):", Type: api["agents"],
			Foreign: map[string]string{"agents": "agents"}},
		{Title: "Errors of the API", Text: "All paths answer with this instead, where there is nothing to answer with:", Type: api["error"]},
		{Title: "version", Text: "`hapsync version -o json` prints:", Type: reflect.TypeFor[build]()},
	}
	for i := range out {
		out[i].Nested = nested
	}
	return out
}
