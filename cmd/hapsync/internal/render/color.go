package render

import (
	"regexp"
	"strings"
)

// Escape codes of colors.
const (
	red, green, yellow, plain = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"
)

// Colored adds colors for additions, changes, removals and trouble.
func Colored(text string) string {
	step := regexp.MustCompile(`^ *(runtime|transaction|rewrite) +([-+~]) `)
	trouble := regexp.MustCompile(`^ *(agent +not ready|reason|problem|refused|held:?|failed:|not in rotation) +[^-\s]`)
	notice := regexp.MustCompile(`^ *(warning|pending|reload:?|kept|override|agent-check|draining) +[^-\s]`)
	var out strings.Builder
	for line := range strings.Lines(text) {
		line, end := strings.TrimSuffix(line, "\n"), line[len(strings.TrimSuffix(line, "\n")):]
		color := ""
		found := step.FindStringSubmatch(line)
		switch {
		case found != nil:
			color = map[string]string{"+": green, "-": red, "~": yellow}[found[2]]
		case strings.HasPrefix(line, "+"):
			color = green
		case strings.HasPrefix(line, "-"), trouble.MatchString(line):
			color = red
		case strings.HasPrefix(line, "@@"), notice.MatchString(line):
			color = yellow
		}
		if color != "" {
			line = color + line + plain
		}
		out.WriteString(line + end)
	}
	return out.String()
}

// Cut cuts a text to the size of a terminal; 0 means no limit.
func Cut(text string, width, height int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if height > 1 && len(lines) >= height {
		lines = lines[:height-1]
	}
	for i, line := range lines {
		if runes := []rune(line); width > 0 && len(runes) > width {
			lines[i] = string(runes[:width])
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// Redrawn is a text that replaces the content of a terminal.
func Redrawn(text string) string {
	const home, clearLine, clearBelow = "\x1b[H", "\x1b[K", "\x1b[J"
	return home + strings.ReplaceAll(text, "\n", clearLine+"\n") + clearBelow
}
