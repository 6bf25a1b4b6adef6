package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"
)

// CompleteApp prints what may come next in a command line without a command.
func CompleteApp(c *urfave.Context) {
	if !completeChoice(c, SharedFlags()) {
		urfave.DefaultAppComplete(c)
	}
}

// complete prints what may come next in the command line of a command: the values of the last flag, the words that its argument can be, or
// its flags.
func complete(cmd *urfave.Command) urfave.BashCompleteFunc {
	return func(c *urfave.Context) {
		switch {
		case completeChoice(c, cmd.Flags):
		case strings.Contains(cmd.ArgsUsage, "|") && !c.Args().Present() && !strings.HasPrefix(lastWord(), "-"):
			printWords(c, strings.Split(cmd.ArgsUsage, "|"))
		default:
			urfave.DefaultCompleteWithFlags(cmd)(c)
		}
	}
}

// completeChoice prints the values of the flag that is the last word; it returns false if that is no flag with a choice.
func completeChoice(c *urfave.Context, flags []urfave.Flag) bool {
	last := lastWord()
	for _, f := range flags {
		s, ok := f.(*Setting)
		if ok && s.Choices != nil && slices.ContainsFunc(s.Names(), func(name string) bool { return dashed(name) == last }) {
			printWords(c, s.Choices)
			return true
		}
	}
	return false
}

func printWords(c *urfave.Context, words []string) {
	for _, word := range words {
		_, _ = fmt.Fprintln(c.App.Writer, word)
	}
}

// lastWord is the word before --generate-bash-completion. urfave has it from os.Args, too: the flag set lacks it if it has no value yet.
func lastWord() string {
	if len(os.Args) < 3 {
		return ""
	}
	return os.Args[len(os.Args)-2]
}
