package cli

import (
	"fmt"
	"math"
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
	cmd.CustomHelpTemplate = strings.Replace(urfave.CommandHelpTemplate, categoryPart, "", 1) + section("EXAMPLE", help.Example) + section("EXIT CODES", help.ExitCodes)
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
	return strings.Replace(urfave.AppHelpTemplate, `{{template "visibleCommandCategoryTemplate" .}}`, b.String(), 1)
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
