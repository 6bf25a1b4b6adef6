package cli

import (
	"fmt"
	"math"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"
)

// Types of urfave. Only this package imports urfave.
type (
	// App is the program with its commands.
	App = urfave.App
	// Command is one command.
	Command = urfave.Command
	// Context is one call of a command.
	Context = urfave.Context
	// Flag is one flag of a command.
	Flag = urfave.Flag
	// A BoolFlag has no variable and no key in the config file.
	BoolFlag = urfave.BoolFlag
)

// A Page is the help of a command, besides its flags.
type Page struct {
	Description string
	Example     string
	ExitCodes   string
}

// Command completes a command: its help, the settings of its flags, and an error for more arguments than ArgsUsage names.
func (e Environment) Command(cmd *urfave.Command, help Page) *urfave.Command {
	cmd.Description = help.Description
	cmd.UsageText = strings.TrimSpace("hapsync " + cmd.Name + " [flags] " + cmd.ArgsUsage)
	cmd.CustomHelpTemplate = withoutShared(strings.Replace(urfave.CommandHelpTemplate, categoryPart, "", 1), cmd.Flags) +
		section("EXAMPLE", help.Example) + section("EXIT CODES", help.ExitCodes)
	cmd.HideHelpCommand = true
	cmd.OnUsageError = OnUsageError
	cmd.Before = e.resolve
	cmd.BashComplete = complete(cmd)
	if e.Record != nil {
		e.Record(cmd.Name, help)
	}
	action := cmd.Action
	cmd.Action = func(c *urfave.Context) error {
		most := MostArguments(cmd)
		for i, arg := range c.Args().Slice() {
			if i >= most || most < math.MaxInt && strings.HasPrefix(arg, "--") {
				return Usagef(c, "stray argument %q (flags come before arguments)", arg)
			}
		}
		return action(c)
	}
	return cmd
}

// allFlags is the part of urfave's templates with the flags by category. Only shared flags have a category.
const allFlags = `{{template "visibleFlagCategoryTemplate" .}}`

// withoutShared replaces the shared flags in a template by a line that says where they are.
func withoutShared(template string, flags []urfave.Flag) string {
	var categories []string
	for _, f := range flags {
		if s, ok := f.(*Setting); ok && !s.Hidden && s.Category != "" && !slices.Contains(categories, s.Category) {
			categories = append(categories, s.Category)
		}
	}
	const own = `{{range .VisibleFlagCategories}}{{if not .Name}}{{range .Flags}}
   {{.}}{{end}}{{end}}{{end}}`
	shared := "\n\n   hapsync help flags shows the flags that many commands share. Of its groups these count here: " +
		strings.Join(categories, ", ") + "."
	return strings.Replace(template, allFlags, own+shared, 1)
}

// HelpFlag is --help, which urfave adds only together with its own help command.
func HelpFlag() urfave.Flag { return urfave.HelpFlag }

// HelpCommand is "hapsync help". urfave's own is one for the whole process, and gets itself for a subcommand at each run.
func HelpCommand() *urfave.Command {
	return &urfave.Command{
		Name: "help", Aliases: []string{"h"}, Usage: "Shows a list of commands or help for one command", ArgsUsage: "[command]",
		UsageText: "hapsync help [command]", Description: "It is what the flag --help of a command shows.",
		CustomHelpTemplate: urfave.CommandHelpTemplate + section("EXAMPLE", "hapsync help sync"),
		Hidden:             true, HideHelpCommand: true, OnUsageError: OnUsageError,
		Action: func(c *urfave.Context) error {
			app := c.Lineage()[1]
			if topic := c.Args().First(); topic != "" {
				return urfave.ShowCommandHelp(app, topic)
			}
			return urfave.ShowAppHelp(app)
		},
	}
}

// FlagsCommand is "hapsync help flags".
func FlagsCommand() *urfave.Command {
	return &urfave.Command{
		Name: "flags", Usage: "the flags that many commands have", UsageText: "hapsync help flags", Hidden: true, HideHelpCommand: true,
		Description: "They may stand before or after the command.", Flags: SharedFlags(),
		CustomHelpTemplate: urfave.CommandHelpTemplate + section("EXAMPLE", "hapsync help flags | less"),
		Action:             func(c *urfave.Context) error { return urfave.ShowCommandHelp(c, "flags") },
	}
}

// categoryPart is the category in urfave's template of a command. It is removed there: only the overview shows it.
const categoryPart = "{{if .Category}}\n\nCATEGORY:\n   {{.Category}}{{end}}"

// AppHelp is the template of the overview: the commands by group. urfave would sort the groups by name.
func AppHelp(groups []string, commands []*urfave.Command) string {
	var b strings.Builder
	for _, group := range groups {
		fmt.Fprintf(&b, "\n   %s:", group)
		for _, cmd := range commands {
			if cmd.Category == group && !cmd.Hidden {
				fmt.Fprintf(&b, "\n     %-12s%s", cmd.Name, cmd.Usage)
			}
		}
	}
	template := strings.Replace(urfave.AppHelpTemplate, `{{template "visibleCommandCategoryTemplate" .}}`, b.String(), 1)
	return withoutShared(template, SharedFlags())
}

// MostArguments is how many arguments a command takes.
func MostArguments(cmd *urfave.Command) int {
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
