package reference

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
)

// config is the page of settings, with their variables and commands.
func (p Program) config() string {
	var b strings.Builder
	b.WriteString(`# Settings: config file and environment

Every setting is a [flag](cli.md), an environment variable and a key in the config file. The first of these counts:

1. the flag after the command, then the flag before it;
2. the variable ` + "`HAPSYNC_...`" + `, then etcdctl's ` + "`ETCDCTL_...`" + ` if there is one;
3. the config file: the one that ` + "`--config-file`" + ` names, else ` + "`" + cli.DefaultConfigFile + "`" + ` if it exists;
4. the default.

A default file that this user may not read, or that every user may write, ends the command with an error;
` + "`--config-file /dev/null`" + ` is the way to go on without it. ` + "`version` and `completion`" + ` do not read it.

A list is a YAML list in the file, and has commas in a flag or variable. An unknown key, a key that is given twice and a
value of another type are errors that name the line. A time has a unit: ` + "`500ms`, `5s`, `1m`" + `. A key that the command does not need is no error: one file serves
all commands. A variable that hapsync does not read is no error, either; if its name is similar to one that it reads, a warning names both.

`)
	for _, category := range []string{cli.Registry, cli.HAProxy, cli.General} {
		var of []*cli.Setting
		for _, f := range cli.SharedFlags() {
			if s := f.(*cli.Setting); s.Category == category {
				of = append(of, s)
			}
		}
		fmt.Fprintf(&b, "## %s\n\n%s\n", category, settingTable(of, nil))
	}
	b.WriteString("## Of some commands\n\n")
	b.WriteString(settingTable(p.ownSettings()) + "\n")
	b.WriteString("## An example\n\n`hapsync agent --print-config` prints it:\n\n" + block("yaml", p.ConfigExample))
	return b.String()
}

// ownSettings are the settings that are not shared, and the commands that have them. A name with two meanings is there twice.
func (p Program) ownSettings() ([]*cli.Setting, map[*cli.Setting][]string) {
	var of []*cli.Setting
	commands := map[*cli.Setting][]string{}
	for _, group := range p.Groups {
		for _, cmd := range p.visible(group) {
			for _, f := range p.own(cmd) {
				s, ok := f.(*cli.Setting)
				if !ok {
					continue
				}
				at := slices.IndexFunc(of, func(o *cli.Setting) bool { return o.Name == s.Name && o.Usage == s.Usage })
				if at < 0 {
					of, at = append(of, s), len(of)
				}
				commands[of[at]] = append(commands[of[at]], code(cmd.Name))
			}
		}
	}
	slices.SortStableFunc(of, func(a, b *cli.Setting) int {
		return strings.Compare(strings.Join(commands[a], " "), strings.Join(commands[b], " "))
	})
	return of, commands
}

func settingTable(settings []*cli.Setting, commands map[*cli.Setting][]string) string {
	titles := []string{"key", "value", "default", "variables", "meaning"}
	if commands != nil {
		titles = slices.Insert(titles, 1, "of")
	}
	t := newTable(titles...)
	for _, s := range settings {
		var variables []string
		for _, name := range s.Env {
			variables = append(variables, code(name))
		}
		cells := []string{code(s.Name), kind(s), standard(s), strings.Join(variables, ", "), meaning(s)}
		if commands != nil {
			cells = slices.Insert(cells, 1, strings.Join(commands[s], ", "))
		}
		t.row(cells...)
	}
	return t.String()
}
