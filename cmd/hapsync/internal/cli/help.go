package cli

import (
	"fmt"
	"math"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"
)

// The words of urfave that commands are made of. Only this package imports urfave.
type (
	// App is the program with its commands.
	App = urfave.App
	// Command is one command.
	Command = urfave.Command
	// Context is what a command was called with.
	Context = urfave.Context
	// Flag is one flag of a command.
	Flag = urfave.Flag
	// A BoolFlag has neither variable nor key in the config file.
	BoolFlag = urfave.BoolFlag
)

// A Page is what the help of a command shows beside its flags.
type Page struct {
	Description string
	Example     string
	ExitCodes   string
}

// Command completes a command: its help, the resolution of its flags, and the refusal of stray arguments
// (those beyond the names in ArgsUsage).
func (e Environment) Command(cmd *urfave.Command, help Page) *urfave.Command {
	cmd.Description = help.Description
	cmd.UsageText = strings.TrimSpace("hapsync " + cmd.Name + " [flags] " + cmd.ArgsUsage)
	cmd.CustomHelpTemplate = withoutShared(strings.Replace(urfave.CommandHelpTemplate, categoryPart, "", 1), cmd.Flags) +
		section("EXAMPLE", help.Example) + section("EXIT CODES", help.ExitCodes)
	cmd.HideHelpCommand = true
	cmd.OnUsageError = OnUsageError
	cmd.Before = e.settle
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

// allFlags is where urfave's templates have the flags by category; the shared ones have one.
const allFlags = `{{template "visibleFlagCategoryTemplate" .}}`

// withoutShared is a template that has the shared flags in one line, which says where they are.
func withoutShared(template string, flags []urfave.Flag) string {
	var categories []string
	for _, f := range flags {
		if s, ok := f.(*Setting); ok && !s.Hidden && s.Category != "" && !slices.Contains(categories, s.Category) {
			categories = append(categories, s.Category)
		}
	}
	const own = `{{range .VisibleFlagCategories}}{{if not .Name}}{{range .Flags}}
   {{.}}{{end}}{{end}}{{end}}`
	shared := "\n\n   hapsync help flags shows the flags that many commands share. Of its groups these count here: " + strings.Join(categories, ", ") + "."
	return strings.Replace(template, allFlags, own+shared, 1)
}

// FlagsCommand is what "hapsync help flags" shows.
func FlagsCommand() *urfave.Command {
	return &urfave.Command{
		Name: "flags", Usage: "the flags that many commands have", UsageText: "hapsync help flags", Hidden: true, HideHelpCommand: true,
		Description: "They may stand before or after the command.", Flags: SharedFlags(),
		CustomHelpTemplate: urfave.CommandHelpTemplate + section("EXAMPLE", "hapsync help flags | less"),
		Action:             func(c *urfave.Context) error { return urfave.ShowCommandHelp(c, "flags") },
	}
}

// categoryPart is what urfave's template says of a command's group, which is for the overview alone.
const categoryPart = "{{if .Category}}\n\nCATEGORY:\n   {{.Category}}{{end}}"

// AppHelp is the template of the overview: the commands by group, in the order of groups, which urfave sorts by letters.
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
