package reference

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
)

// cli is the page of commands and flags.
func (p Program) cli() (string, error) {
	var b strings.Builder
	b.WriteString(`# Commands and flags

A flag may stand before or after the command. What a flag does not say comes from its environment variable, then from
the [config file](config.md), then from the default. Every command takes the flags of [` + cli.General + `](#` + anchor(cli.General) + `), and
accepts the other [shared flags](#shared-flags) even if it does not need them. A time has a unit: ` + "`500ms`, `5s`, `1m`" + `.

`)
	for _, group := range p.Groups {
		fmt.Fprintf(&b, "**%s**\n\n", group)
		t := newTable("command", "what it does")
		for _, cmd := range p.visible(group) {
			t.row(fmt.Sprintf("[`hapsync %s`](#hapsync-%[1]s)", cmd.Name), cell(cmd.Usage))
		}
		b.WriteString(t.String() + "\n")
	}
	for _, group := range p.Groups {
		for _, cmd := range p.visible(group) {
			text, err := p.command(cmd)
			if err != nil {
				return "", err
			}
			b.WriteString(text)
		}
	}
	b.WriteString(p.sharedFlags())
	return strings.TrimSpace(b.String()) + "\n", nil
}

// command is the part about one command.
func (p Program) command(cmd *cli.Command) (string, error) {
	var b strings.Builder
	page := p.Pages[cmd.Name]
	fmt.Fprintf(&b, "## hapsync %s\n\n%s\n%s\n\n", cmd.Name, block("text", cmd.UsageText), prose(page.Description))
	b.WriteString(block("sh", page.Example) + "\n")
	if own := p.own(cmd); len(own) > 0 {
		b.WriteString(flagTable(own) + "\n")
	}
	var shared []string
	for _, c := range categories(cmd) {
		shared = append(shared, link(c))
	}
	fmt.Fprintf(&b, "Shared flags: %s.\n\n", strings.Join(shared, ", "))
	exits, err := ParseExits(page.ExitCodes)
	if err != nil {
		return "", fmt.Errorf("exit codes of %s: %w", cmd.Name, err)
	}
	if len(exits) > 0 {
		t := newTable("[exit code](exit-codes.md)", "meaning")
		for _, e := range exits {
			t.row(e.Code, cell(e.Meaning))
		}
		b.WriteString(t.String() + "\n")
	}
	return b.String(), nil
}

func flagTable(flags []cli.Flag) string {
	t := newTable("flag", "value", "default", "meaning")
	for _, f := range flags {
		if s, ok := f.(*cli.Setting); ok {
			t.row(names(f), kind(s), standard(s), meaning(f))
		} else {
			t.row(names(f), "", "", meaning(f))
		}
	}
	return t.String()
}

// sharedFlags is the part about the flags that several commands have.
func (p Program) sharedFlags() string {
	var b strings.Builder
	b.WriteString("## Shared flags\n\n")
	for _, category := range []string{cli.Registry, cli.HAProxy, cli.General} {
		var of []cli.Flag
		for _, f := range cli.SharedFlags() {
			if f.(*cli.Setting).Category == category {
				of = append(of, f)
			}
		}
		fmt.Fprintf(&b, "### %s\n\n%s\n", category, flagTable(of))
	}
	return b.String()
}

// markup matches what becomes code in a text: flags, paths of the agent's address, and words with a placeholder.
var markup = regexp.MustCompile(`(^|[\s(])(--[a-z][a-z-]+|/(?:healthz|readyz|metrics|status)\b|[A-Z_]+&lt;[a-z]+>[A-Z_]*)`)

// prose makes Markdown of a description: flags and paths become code.
func prose(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "<", "&lt;")
	return markup.ReplaceAllStringFunc(text, func(match string) string {
		m := markup.FindStringSubmatch(match)
		return m[1] + code(strings.ReplaceAll(m[2], "&lt;", "<"))
	})
}

// A CommandExit is an exit code of one command; "other" for the code of another program.
type CommandExit struct{ Code, Meaning string }

// ParseExits reads "0 all well; 2 usage".
func ParseExits(text string) ([]CommandExit, error) {
	var exits []CommandExit
	for part := range strings.SplitSeq(strings.ReplaceAll(strings.TrimSpace(text), "\n", " "), "; ") {
		first, rest, _ := strings.Cut(part, " ")
		if _, err := strconv.Atoi(first); err == nil && rest != "" {
			exits = append(exits, CommandExit{first, rest})
			continue
		}
		if other, ok := strings.CutPrefix(part, "otherwise "); ok {
			exits = append(exits, CommandExit{"other", other})
			continue
		}
		if part != "" {
			return nil, fmt.Errorf("%q: want a code and what it means", part)
		}
	}
	return exits, nil
}

// exitCodes is the page of exit codes, in general and for each command.
func (p Program) exitCodes() (string, error) {
	var b strings.Builder
	b.WriteString("# Exit codes\n\nA code means the same for every command.\n\n")
	t := newTable("code", "meaning")
	for _, e := range p.Exits {
		t.row(strconv.Itoa(e.Code), cell(e.Meaning))
	}
	b.WriteString(t.String() + "\n## By command\n\n")
	t = newTable("command", "code", "meaning")
	for _, group := range p.Groups {
		for _, cmd := range p.visible(group) {
			exits, err := ParseExits(p.Pages[cmd.Name].ExitCodes)
			if err != nil {
				return "", fmt.Errorf("exit codes of %s: %w", cmd.Name, err)
			}
			name := fmt.Sprintf("[`hapsync %s`](cli.md#hapsync-%[1]s)", cmd.Name)
			for _, e := range exits {
				t.row(name, e.Code, cell(e.Meaning))
				name = ""
			}
		}
	}
	b.WriteString(t.String())
	return b.String(), nil
}
