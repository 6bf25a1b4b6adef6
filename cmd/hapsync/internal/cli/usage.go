package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	urfave "github.com/urfave/cli/v2"
)

// A UsageError is a mistake in the command line, the environment or the config file.
type UsageError struct {
	Command string // empty before a command is known
	Line    string // how that command is called
	Err     error
}

func (e UsageError) Error() string { return e.Err.Error() }
func (e UsageError) Unwrap() error { return e.Err }

// Hint is a line of usage, and a line on where to read more.
func (e UsageError) Hint() string {
	if e.Command == "" {
		return "usage: hapsync [flags] command [flags]\nsee hapsync --help"
	}
	return fmt.Sprintf("usage: %s\nsee hapsync %s --help", e.Line, e.Command)
}

// Usage makes err a usage error.
func Usage(c *urfave.Context, err error) error {
	e := UsageError{Command: commandName(c), Err: err}
	if e.Command != "" {
		e.Line = c.Command.UsageText
	}
	return e
}

// Usagef is a usage error.
func Usagef(c *urfave.Context, format string, args ...any) error {
	return Usage(c, fmt.Errorf(format, args...))
}

// IsUsage reports whether err is a usage error.
func IsUsage(err error) bool {
	var usage UsageError
	return errors.As(err, &usage)
}

// Reword is the error of a run, in which "hapsync help nothing" is a usage error.
func Reword(app *urfave.App, err error) error {
	if err == nil {
		return nil
	}
	topic, unknown := strings.CutPrefix(err.Error(), "No help topic for '")
	if topic = strings.TrimSuffix(topic, "'"); !unknown {
		return err
	}
	return UsageError{Err: unknownCommand(app, topic)}
}

func unknownCommand(app *urfave.App, name string) error {
	return fmt.Errorf("unknown command %q%s", name, didYouMean(nearestCommand(app, name)))
}

// commandName is empty before a command is known.
func commandName(c *urfave.Context) string {
	if c.Command == nil || c.Command.Name == c.App.Name {
		return ""
	}
	return c.Command.Name
}

// NoCommand is the action of hapsync without a command, or with an unknown one.
func NoCommand(c *urfave.Context) error {
	if !c.Args().Present() {
		c.App.Writer = Wrapped(c.App.ErrWriter)
		_ = urfave.ShowAppHelp(c)
		return Usagef(c, "which command?")
	}
	return Usage(c, unknownCommand(c.App, c.Args().First()))
}

func nearestCommand(app *urfave.App, name string) string {
	_, nearest, _ := strings.Cut(urfave.SuggestCommand(app.VisibleCommands(), name), `"`)
	return near(name, strings.TrimSuffix(nearest, `"?`))
}

// near is the word if it is similar to what was typed, else empty.
func near(typed, word string) string {
	if distance(typed, word) > min(2, len(typed)/2) {
		return ""
	}
	return word
}

// distance is the Levenshtein distance, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = min(replaced, row[j]+1, before+1)
		}
	}
	return row[len(b)]
}

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", name)
}

// OnUsageError rewords errors of the flag package.
func OnUsageError(c *urfave.Context, err error, _ bool) error {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return Usage(c, errors.New(longDashes(err.Error())))
	}
	if owner := ownerOf(c.App, name); owner != "" {
		return Usagef(c, "%s is a flag of %q: write it after the command", dashed(name), "hapsync "+owner)
	}
	nearest := near(name, strings.TrimLeft(urfave.SuggestFlag(c.Command.Flags, name, false), "-"))
	if nearest != "" {
		nearest = dashed(nearest)
	}
	return Usagef(c, "unknown flag %s%s", dashed(name), didYouMean(nearest))
}

// dashed is a flag as one types it.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// longDashes adds the second dash to the flags in a message of the flag package, and says what a switch can be.
func longDashes(message string) string {
	message = regexp.MustCompile(` (-[a-z][a-z-]+)`).ReplaceAllString(message, " -$1")
	if broken, bad := strings.CutSuffix(message, ": parse error"); bad {
		return broken + ": " + errBool.Error()
	}
	return message
}

// ownerOf is a command that has a flag of this name; empty if there is none.
func ownerOf(app *urfave.App, flag string) string {
	for _, cmd := range app.Commands {
		for _, f := range cmd.Flags {
			if f.Names()[0] == flag {
				return cmd.Name
			}
		}
	}
	return ""
}
