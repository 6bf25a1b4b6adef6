package main

import (
	"fmt"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"

	"github.com/hapsync/hapsync/sync"
)

func (p program) adoptCommand() *cli.Command {
	flags := []cli.Flag{
		cli.OutputFlag(),
		cli.Text(cli.Spec{Name: "unit", Value: "confd", Check: cli.ConfigWord, Usage: "systemd `UNIT` of the tool that writes the file now"}),
		cli.Toggle(cli.Spec{Name: "detailed-exitcode", Usage: "exit with 10 if there are changes, with 0 if there are none"}),
		maxRemovalFlag(),
	}
	return p.environment().Command(&cli.Command{
		Name:     "adopt",
		Category: groupSetUp,
		Usage:    "say how to take over HAProxy from confd or another tool, and how to go back; reads only",
		Flags:    append(flags, cli.SharedFlags()...),
		Action:   p.adopt,
	}, cli.Page{
		Description: `Takes the base file, which another tool writes now, for the managed file, whatever --managed-file says: HAProxy keeps its one
file. Prints what hapsync would do, as hapsync plan does, and the steps to switch and to go back, with the paths and flags
of this machine. Nothing is written, no command that changes anything is sent, and no lock is taken.

hapsync agent --shadow compares the two tools for as long as you like before that.`,
		Example: `
hapsync adopt
hapsync adopt --base-file /etc/haproxy/haproxy.cfg --unit consul-template
hapsync adopt -o json`,
		ExitCodes: `
0 plan made; 1 error; 2 usage; 3 registry not reachable; 4 HAProxy refused, or is not reachable; 5 sync would be
held by a safeguard; 10 with --detailed-exitcode: there are changes; 130 interrupted`,
	})
}

func (p program) adopt(c *cli.Context) error {
	file, err := filepath.Abs(c.String("base-file"))
	if err != nil {
		return err
	}
	for _, name := range []string{"base-file", "managed-file"} { // one file
		if err := c.Set(name, file); err != nil {
			return err
		}
	}
	report, planErr := p.planOnly(c)
	if planErr != nil && !report.Compared {
		return planErr
	}
	t := p.takeover(c, file)
	page := render.Adoption{Report: render.Report{Report: report}, File: file, Switch: t.switchSteps(report.Plan), Back: t.backSteps()}
	if err := p.write(c, page); err != nil && planErr == nil {
		return fmt.Errorf("write the steps: %w", err)
	}
	if planErr != nil {
		return planErr
	}
	return planVerdict(c, report)
}

// A takeover is what the steps need to know of this machine.
type takeover struct {
	file, backup, unit, binary string
	// args are the flags that the commands need, each with a space before it. settings are the same as lines of the config
	// file.
	args     string
	settings []string
	secret   string // the user of etcd whose password is in no file; empty for none
	account  bool   // the user hapsync exists, which the agent runs as
}

func (p program) takeover(c *cli.Context, file string) takeover {
	t := takeover{file: file, backup: file + ".before-hapsync", unit: c.String("unit"), binary: c.String("haproxy-bin")}
	_, err := user.Lookup("hapsync")
	t.account = err == nil
	configured := c.String("config-file")
	if configured != "" && configured != p.configFile {
		t.args = " --config-file " + shellWord(configured)
	}
	for _, f := range c.Command.Flags {
		s, ok := f.(*cli.Setting)
		if !ok || s.Category != cli.Registry && s.Category != cli.HAProxy {
			continue
		}
		value := c.String(s.Name)
		if s.IsList() {
			value = strings.Join(c.StringSlice(s.Name), ",")
		}
		if s.Name == "user" {
			value, _, _ = strings.Cut(value, ":") // a password is not printed
		}
		given := s.Name == "managed-file" || p.given(s)
		if !given && (value == "" || value == s.Value) {
			continue
		}
		if given || configured == "" {
			t.args += " --" + s.Name
			switch {
			case s.Tag != "!!bool":
				t.args += " " + shellWord(value)
			case value == "false":
				t.args += "=false"
			}
		}
		if given || configured != p.configFile { // the agent reads the default one
			t.settings = append(t.settings, s.YAML(value))
		}
	}
	if c.String("password-file") == "" {
		t.secret, _, _ = strings.Cut(c.String("user"), ":")
	}
	return t
}

// given reports whether a setting is on the command line or in the environment: then the commands need it, too.
func (p program) given(s *cli.Setting) bool {
	named := slices.ContainsFunc(p.args, func(arg string) bool {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		return strings.HasPrefix(arg, "-") && (name == s.Name || slices.Contains(s.Aliases, name))
	})
	return named || slices.ContainsFunc(s.Env, func(name string) bool { return p.getenv(name) != "" })
}

// switchSteps are the steps to hapsync.
func (t takeover) switchSteps(plan sync.Plan) []render.AdoptStep {
	check := render.AdoptStep{What: "Look whether hapsync can reach and do all that it needs; each line that is not ok says what to do",
		Commands: []string{"hapsync check" + t.args}}
	if t.account {
		check.Commands = append(check.Commands, "runuser -u hapsync -- hapsync check"+t.args)
	}
	apply := "Apply the plan above: " + plan.Summary()
	if plan.Empty() {
		apply = "Look once more: there is nothing to apply, unless the registry has changed"
	}
	write := "Write these settings into the agent's config file, " + cli.DefaultConfigFile + ", and take \"shadow\" out if it is there"
	if t.secret != "" {
		write += "; put the password of etcd's user " + t.secret + " into a file that the agent alone may read, and its path into password-file"
	}
	steps := []render.AdoptStep{
		check,
		{What: write, Lines: t.settings},
		{What: "Keep the file as " + t.unit + " has left it", Commands: []string{"cp -pn " + shellWord(t.file) + " " + shellWord(t.backup)}},
		{What: "Stop " + t.unit + ": two tools must not write one file", Commands: []string{"systemctl disable --now " + shellWord(t.unit)}},
	}
	if t.account {
		steps = append(steps, render.AdoptStep{
			What:     "Give the file and its directory to the agent's user, which has to replace the file; this user is then as strong as root",
			Commands: []string{"chown hapsync: " + t.places()}})
	}
	return append(steps,
		render.AdoptStep{What: apply, Commands: []string{"hapsync sync" + t.args}},
		render.AdoptStep{What: "Start the agent; one that has run as a shadow reads its settings",
			Commands: []string{"systemctl enable hapsync-agent", "systemctl restart hapsync-agent"}},
		render.AdoptStep{What: "Verify: the agent is ready, and the plan is empty",
			Commands: []string{"hapsync status", "hapsync plan --detailed-exitcode" + t.args}})
}

// places are the file and its directory.
func (t takeover) places() string { return shellWord(filepath.Dir(t.file)) + " " + shellWord(t.file) }

// backSteps are the steps back to the other tool.
func (t takeover) backSteps() []render.AdoptStep {
	steps := []render.AdoptStep{
		{What: "Stop the agent: HAProxy and the file stay as they are", Commands: []string{"systemctl disable --now hapsync-agent"}},
	}
	if t.account {
		steps = append(steps, render.AdoptStep{What: "Give the file and its directory back to root", Commands: []string{"chown root: " + t.places()}})
	}
	return append(steps,
		render.AdoptStep{What: "Start " + t.unit + ", which renders the file from the registry",
			Commands: []string{"systemctl enable --now " + shellWord(t.unit)}},
		render.AdoptStep{What: "Verify that HAProxy accepts the file", Commands: []string{shellWord(t.binary) + " -c -f " + shellWord(t.file)}},
		render.AdoptStep{What: "Only if " + t.unit + " does not render it: put the file back, with the hosts as they were then",
			Commands: []string{"cp -p " + shellWord(t.backup) + " " + shellWord(t.file), "systemctl reload haproxy"}})
}
