package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
)

func (p program) completionCommand() *cli.Command {
	return p.environment().Command(&cli.Command{
		Name:      "completion",
		Category:  groupSetUp,
		Usage:     "print a script that completes hapsync's commands and flags in a shell",
		ArgsUsage: "bash|zsh|fish",
		Flags:     cli.SharedFlags(cli.Registry, cli.HAProxy),
		Action:    p.completion,
	}, cli.Page{
		Description: "Prints the script for one shell to standard output. It calls the hapsync of PATH to find the words.",
		Example: `
hapsync completion bash > /etc/bash_completion.d/hapsync
hapsync completion zsh > "${fpath[1]}/_hapsync"
hapsync completion fish > ~/.config/fish/completions/hapsync.fish`,
	})
}

func (p program) completion(c *cli.Context) error {
	script := ""
	switch shell := c.Args().First(); shell {
	case "bash":
		script = bashCompletion
	case "zsh":
		script = zshCompletion
	case "fish":
		fish, err := c.App.ToFishCompletion()
		if err != nil {
			return err
		}
		script = longOptions(fish)
	case "":
		return cli.Usagef(c, "which shell? hapsync completion bash, hapsync completion zsh or hapsync completion fish")
	default:
		return cli.Usagef(c, "%q is not a shell that hapsync knows: bash, zsh or fish", shell)
	}
	_, err := fmt.Fprint(p.stdout, script)
	return err
}

// longOptions fixes urfave's output for flags with a second long name, and removes the quotes of placeholders.
func longOptions(fish string) string {
	fish = regexp.MustCompile(` -s ([a-z][a-z-]+)`).ReplaceAllString(fish, " -l $1")
	return strings.ReplaceAll(fish, "`", "")
}

// bashCompletion passes the words on without eval: a half-typed $(command) must not run.
const bashCompletion = `# bash completion for hapsync
_hapsync() {
    local cur=${COMP_WORDS[COMP_CWORD]}
    local words=("${COMP_WORDS[@]:0:COMP_CWORD}")
    if [[ $cur == -- ]]; then
        words+=(-) # "--" alone would end the flags
    elif [[ $cur == -* ]]; then
        words+=("$cur")
    fi
    COMPREPLY=($(compgen -W "$(SHELL=bash "${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
}
complete -o bashdefault -o default -F _hapsync hapsync
`

const zshCompletion = `#compdef hapsync
# zsh completion for hapsync
_hapsync() {
    local -a opts
    local cur=${words[CURRENT]}
    if [[ $cur == -- ]]; then # it would end the flags
        opts=("${(@f)$(SHELL=zsh ${words[1,CURRENT-1]} - --generate-bash-completion 2>/dev/null)}")
    elif [[ $cur == -* ]]; then
        opts=("${(@f)$(SHELL=zsh ${words[1,CURRENT]} --generate-bash-completion 2>/dev/null)}")
    else
        opts=("${(@f)$(SHELL=zsh ${words[1,CURRENT-1]} --generate-bash-completion 2>/dev/null)}")
    fi
    if [[ -n ${opts[1]} ]]; then
        _describe 'hapsync' opts
    else
        _files
    fi
}
if [[ $funcstack[1] == _hapsync ]]; then
    _hapsync "$@"
else
    compdef _hapsync hapsync
fi
`
