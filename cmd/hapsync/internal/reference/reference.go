package reference

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
)

// A Program is what the pages describe.
type Program struct {
	Commands      []*cli.Command // in the order of the pages
	Groups        []string       // categories of the commands, in the order of the pages
	Pages         map[string]cli.Page
	Exits         []Exit
	Outputs       []Output
	Metrics       prometheus.Gatherer
	ConfigExample string // a config file
}

// An Exit is an exit code and its meaning.
type Exit struct {
	Code    int
	Meaning string
}

const generated = "<!-- Written by \"make docs\" from the program: do not edit. -->\n\n"

// Files are the pages by name.
func (p Program) Files() (map[string]string, error) {
	metrics, err := p.metrics()
	if err != nil {
		return nil, err
	}
	json, err := p.json()
	if err != nil {
		return nil, err
	}
	exits, err := p.exitCodes()
	if err != nil {
		return nil, err
	}
	commands, err := p.cli()
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"cli.md": generated + commands, "config.md": generated + p.config(), "exit-codes.md": generated + exits,
		"json.md": generated + json, "metrics.md": generated + metrics,
	}, nil
}

// visible are the commands of a group.
func (p Program) visible(group string) []*cli.Command {
	var out []*cli.Command
	for _, cmd := range p.Commands {
		if cmd.Category == group && !cmd.Hidden {
			out = append(out, cmd)
		}
	}
	return out
}

// own are the flags of a command that are not shared.
func (p Program) own(cmd *cli.Command) []cli.Flag {
	return slices.DeleteFunc(slices.Clone(cmd.Flags), func(f cli.Flag) bool { return isShared(f) || isHidden(f) })
}

func isShared(f cli.Flag) bool {
	s, ok := f.(*cli.Setting)
	return ok && s.Category != ""
}

func isHidden(f cli.Flag) bool {
	s, ok := f.(*cli.Setting)
	return ok && s.Hidden
}

// categories are those of the shared flags that a command shows, in order.
func categories(cmd *cli.Command) []string {
	var out []string
	for _, f := range cmd.Flags {
		if s, ok := f.(*cli.Setting); ok && isShared(f) && !s.Hidden && !slices.Contains(out, s.Category) {
			out = append(out, s.Category)
		}
	}
	return out
}

// names are the flag's names with dashes, as code.
func names(f cli.Flag) string {
	var out []string
	for _, name := range f.Names() {
		out = append(out, code(strings.Repeat("-", min(2, len(name)))+name))
	}
	return strings.Join(out, ", ")
}

var placeholder = regexp.MustCompile("`([^`]+)`")

// kind is the kind of a setting's value.
func kind(s *cli.Setting) string {
	word := ""
	if m := placeholder.FindStringSubmatch(s.Usage); m != nil {
		word = m[1]
	}
	unit := map[string]string{
		"TIME": "time, such as `5s`", "PERCENT": "whole number, percent", "WEIGHT": "whole number, 0 to 256",
		"CHECKS": "whole number", "CONNECTIONS": "whole number", "PORT": "whole number", "URL": "URL", "FILE": "path of a file",
		"PATH": "path of a socket", "DIRECTORY": "path of a directory", "KEY": "key in etcd", "PROGRAM": "path, or name in `PATH`",
		"NAME": "name", "DOMAIN": "domain", "ADDRESS": "address", "LEVEL": "word", "FORMAT": "word", "COMMAND": "words", "CHECK": "URL-like text",
	}[word]
	switch {
	case s.Tag == "!!bool":
		return "`true` or `false`"
	case s.IsList():
		return map[string]string{"URL": "list of URLs", "NAME": "list of names", "ADDRESS": "list of addresses"}[word]
	}
	return cmp.Or(unit, strings.ToLower(word), "text")
}

// standard is the default of a setting.
func standard(s *cli.Setting) string {
	switch {
	case s.Tag == "!!bool":
		return "`false`"
	case s.Required:
		return "required"
	case s.Value != "":
		return code(s.Value)
	}
	return s.Fallback
}

// meaning is the usage of a flag in a table.
func meaning(f cli.Flag) string {
	type documented interface{ GetUsage() string }
	text := f.(documented).GetUsage()
	if strings.Contains(text, "NAME:PASSWORD") {
		return prose(cell(strings.ReplaceAll(text, "`", "")))
	}
	return prose(cell(placeholder.ReplaceAllStringFunc(text, func(word string) string {
		if word = strings.Trim(word, "`"); word == "URL" {
			return word
		}
		return strings.ToLower(word)
	})))
}

// cell escapes a text for a cell of a table.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(text)
}

func code(text string) string { return "`" + text + "`" }

// A table is a Markdown table.
type table struct{ strings.Builder }

func newTable(titles ...string) *table {
	t := new(table)
	t.row(titles...)
	t.row(slices.Repeat([]string{"---"}, len(titles))...)
	return t
}

func (t *table) row(cells ...string) {
	line := "|"
	for _, c := range cells {
		if c == "" {
			line += " |"
		} else {
			line += " " + c + " |"
		}
	}
	t.WriteString(line + "\n")
}

// anchor is GitHub's anchor of a heading.
func anchor(title string) string {
	title = regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(title), "")
	return strings.ReplaceAll(title, " ", "-")
}

func link(title string) string { return fmt.Sprintf("[%s](#%s)", title, anchor(title)) }

// block is a block of code.
func block(language, text string) string {
	return "```" + language + "\n" + strings.TrimSpace(text) + "\n```\n"
}
