package reference

import (
	"fmt"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
)

// Manuals are the man pages by name: hapsync.1, and one for each command.
func (p Program) Manuals() (map[string]string, error) {
	pages := map[string]string{"hapsync.1": p.overview()}
	for _, cmd := range p.Commands {
		if cmd.Hidden {
			continue
		}
		page, err := p.manual(cmd)
		if err != nil {
			return nil, err
		}
		pages["hapsync-"+cmd.Name+".1"] = page
	}
	return pages, nil
}

func (p Program) overview() string {
	var b strings.Builder
	b.WriteString("hapsync 1 \"\" hapsync \"hapsync\"\n==============================\n\n" +
		"# NAME\nhapsync - keep HAProxy in line with a service registry in etcd\n\n" +
		"# SYNOPSIS\n**hapsync** [*flags*] *command* [*flags*]\n\n# COMMANDS\n")
	for _, group := range p.Groups {
		fmt.Fprintf(&b, "## %s\n\n", group)
		for _, cmd := range p.visible(group) {
			fmt.Fprintf(&b, "**hapsync-%s(1)**\n: %s\n\n", cmd.Name, escape(cmd.Usage))
		}
	}
	b.WriteString("# SHARED FLAGS\nA flag may stand before or after the command. What a flag does not say comes from its environment variable, then " +
		"from the file of **--config-file** (YAML; the keys are the names of the flags; without it " + cli.DefaultConfigFile +
		", if it exists), then from the default.\n\n")
	for _, f := range cli.SharedFlags() {
		b.WriteString(manualFlag(f))
	}
	b.WriteString("# EXIT STATUS\n")
	for _, e := range p.Exits {
		fmt.Fprintf(&b, "**%d**\n: %s\n\n", e.Code, escape(e.Meaning))
	}
	return render(b.String())
}

func (p Program) manual(cmd *cli.Command) (string, error) {
	page := p.Pages[cmd.Name]
	exits, err := ParseExits(page.ExitCodes)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "hapsync-%[1]s 1 \"\" hapsync \"hapsync\"\n==============================\n\n"+
		"# NAME\nhapsync-%[1]s - %[2]s\n\n# SYNOPSIS\n**%[3]s**\n\n"+
		"# DESCRIPTION\n%[4]s\n\n# FLAGS\n", cmd.Name, escape(cmd.Usage), escape(cmd.UsageText), escape(strings.TrimSpace(page.Description)))
	for _, f := range p.own(cmd) {
		b.WriteString(manualFlag(f))
	}
	fmt.Fprintf(&b, "The shared flags are in **hapsync(1)**: %s.\n\n# EXAMPLES\n", strings.Join(categories(cmd), ", "))
	for line := range strings.Lines(strings.TrimSpace(page.Example)) {
		b.WriteString("    " + strings.TrimRight(line, "\n") + "\n")
	}
	if len(exits) > 0 {
		b.WriteString("\n# EXIT STATUS\n")
	}
	for _, e := range exits {
		fmt.Fprintf(&b, "**%s**\n: %s\n\n", e.Code, escape(e.Meaning))
	}
	b.WriteString("\n# SEE ALSO\n**hapsync(1)**\n")
	return render(b.String()), nil
}

func manualFlag(f cli.Flag) string {
	var dashed []string
	for _, name := range f.Names() {
		dashed = append(dashed, "**"+strings.Repeat("-", min(2, len(name)))+name+"**")
	}
	text := escape(strings.ReplaceAll(meaning(f), "`", ""))
	if s, ok := f.(*cli.Setting); ok {
		if m := placeholder.FindStringSubmatch(s.Usage); m != nil && s.Tag != "!!bool" {
			dashed[len(dashed)-1] += " *" + escape(m[1]) + "*"
		}
		if d := strings.ReplaceAll(standard(s), "`", ""); d != "" && s.Tag != "!!bool" {
			text += " (default: " + escape(d) + ")"
		}
		text += " [" + escape(strings.Join(s.Env, ", ")) + "]"
	}
	return strings.Join(dashed, ", ") + "\n: " + text + "\n\n"
}

// escape escapes Markdown.
func escape(text string) string {
	return strings.NewReplacer("\\", "\\\\", "*", "\\*", "_", "\\_", "<", "\\<", "`", "\\`", "[", "\\[", "]", "\\]").Replace(text)
}

func render(markdown string) string { return string(md2man.Render([]byte(markdown))) }
