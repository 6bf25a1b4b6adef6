package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/hapsync/hapsync/sync"
)

func readme(t *testing.T) string {
	t.Helper()
	return read(t, "../../README.md")
}

// tableRows are the lines of the README's tables whose first cell has a word of code, or a number, by that word.
func tableRows(text string) map[string]string {
	first := regexp.MustCompile("^\\| (?:`([^`]+)`|([0-9]+))[ ,|]")
	rows := map[string]string{}
	for line := range strings.Lines(text) {
		if m := first.FindStringSubmatch(line); m != nil {
			rows[m[1]+m[2]] = line
		}
	}
	return rows
}

func TestReadmeHasEveryFlagWithItsVariableAndDefault(t *testing.T) {
	rows := tableRows(readme(t))
	eachSetting(t, func(t *testing.T, cmd *cli.Command, s *setting) {
		if s.name == "onetime" {
			if !regexp.MustCompile("(?s)`--onetime`.{1,5}`HAPSYNC_ONETIME`").MatchString(readme(t)) {
				t.Error("the README does not say what --onetime is")
			}
			return
		}
		row, ok := rows["--"+s.name]
		if !ok {
			t.Fatalf("no table has a row for --%s of hapsync %s", s.name, cmd.Name)
		}
		words := slices.Clone(s.env)
		if s.value != "" {
			words = append(words, s.value)
		}
		for _, alias := range s.aliases {
			words = append(words, strings.Repeat("-", min(2, len(alias)))+alias)
		}
		for _, w := range words {
			if !strings.Contains(row, "`"+w+"`") {
				t.Errorf("the row of --%s lacks `%s`: %s", s.name, w, row)
			}
		}
		if command := "`" + cmd.Name + "`"; !isShared(s) && !strings.Contains(row, command) {
			t.Errorf("the row of --%s does not say that it is of %s: %s", s.name, command, row)
		}
	})
}

func TestReadmeHasTheOtherFlagsAndNoMore(t *testing.T) {
	rows := tableRows(readme(t))
	known := map[string]bool{}
	for _, cmd := range new(bench).program(nil, nil).app().Commands {
		for _, f := range cmd.Flags {
			name := f.Names()[0]
			known[name] = true
			if rows["--"+name] == "" && name != "onetime" {
				t.Errorf("no table has a row for --%s of hapsync %s", name, cmd.Name)
			}
		}
	}
	for name := range rows {
		if flag, ok := strings.CutPrefix(name, "--"); ok && !known[flag] {
			t.Errorf("a table has a row for --%s, which no command has", flag)
		}
	}
}

func TestReadmeHasEveryExitCode(t *testing.T) {
	rows := tableRows(readme(t))
	listed := regexp.MustCompile(`(?m)^ +([0-9]+) +\S`).FindAllStringSubmatch(appTail, -1)
	var codes []string
	for _, m := range listed {
		codes = append(codes, m[1])
	}
	for _, code := range []int{exitOK, exitError, exitUsage, exitRegistry, exitHAProxy, exitHeld, exitLeftOut, exitNotYet, exitChanges, exitInterrupted} {
		if !slices.Contains(codes, fmt.Sprint(code)) {
			t.Errorf("hapsync --help does not list exit code %d", code)
		}
	}
	for _, code := range codes {
		if rows[code] == "" {
			t.Errorf("the README does not list exit code %s", code)
		}
	}
}

func TestReadmeHasEveryCommand(t *testing.T) {
	text := readme(t)
	for _, cmd := range new(bench).program(nil, nil).app().Commands {
		if !strings.Contains(text, "\n| `hapsync "+cmd.Name) {
			t.Errorf("no table has a row for hapsync %s", cmd.Name)
		}
	}
}

// codeOf are the lines of the README's code blocks and the spans of code in its text.
func codeOf(text string) (lines, spans []string) {
	fenced := false
	span := regexp.MustCompile("`([^`\n]+)`")
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", "")) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			fenced = !fenced
		case fenced, strings.HasPrefix(line, "    "):
			lines = append(lines, strings.TrimSpace(line))
		default:
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				spans = append(spans, m[1])
			}
		}
	}
	return lines, spans
}

// hapsyncCalls are the arguments of each call of hapsync in a shell line, a systemd unit or a crontab.
func hapsyncCalls(line string) [][]string {
	var calls [][]string
	line, _, _ = strings.Cut(line, " #")
	for _, command := range regexp.MustCompile(` *(?:\|\|?|&&|;|[0-9]?>) *| -- `).Split(line, -1) {
		words := strings.Fields(command)
		for i, w := range words {
			if filepath.Base(w) == "hapsync" && !strings.HasSuffix(w, "lock/hapsync") && commandMayFollow(words[:i]) {
				calls = append(calls, words[i+1:])
				break
			}
		}
	}
	return calls
}

// commandMayFollow reports whether the words before a word leave it the place of a command.
func commandMayFollow(words []string) bool {
	if n := len(words); n >= 2 && words[n-2] == "-u" {
		words = words[:n-2] // sudo -u hapsync
	}
	for _, w := range words {
		switch name := filepath.Base(strings.TrimPrefix(w, "ExecStart=")); {
		case slices.Contains([]string{"$", "sudo", "flock", "root", "*"}, name):
		case strings.HasSuffix(w, "lock/hapsync"), regexp.MustCompile(`^[A-Z_]+=`).MatchString(w):
		default:
			return false
		}
	}
	return true
}

func TestHapsyncCalls(t *testing.T) {
	for line, want := range map[string]string{
		"sudo hapsync sync":                               "[[sync]]",
		"$ hapsync plan":                                  "[[plan]]",
		"sudo -u hapsync hapsync check --prefix /a":       "[[check --prefix /a]]",
		"hapsync completion bash | sudo tee x >/dev/null": "[[completion bash]]",
		"ExecStart=/usr/bin/flock /run/lock/hapsync /usr/local/bin/hapsync sync": "[[sync]]",
		"etcdctl watch --prefix /services/web -- hapsync sync":                   "[[sync]]",
		"* * * * * root flock /run/lock/hapsync hapsync sync":                    "[[sync]]",
		"hapsync plan && hapsync sync -o json # both":                            "[[plan] [sync -o json]]",
		"sudo useradd --system hapsync":                                          "[]",
		"etcdctl user add hapsync":                                               "[]",
		"sudo install -m 755 bin/hapsync /usr/local/bin/hapsync":                 "[]",
	} {
		if got := fmt.Sprint(hapsyncCalls(line)); got != want {
			t.Errorf("%s: calls %s, want %s", line, got, want)
		}
	}
}

// parse has the program read a command line without carrying it out.
func parse(args []string) error {
	app := new(bench).program(nil, nil).app()
	for _, cmd := range app.Commands {
		most := mostArguments(cmd)
		cmd.Before = nil
		cmd.Action = func(c *cli.Context) error {
			if c.NArg() > most {
				return usagef(c, "stray argument %q", c.Args().Get(most))
			}
			return nil
		}
	}
	return app.Run(append([]string{"hapsync"}, args...))
}

func TestReadmeCommandLinesAreKnown(t *testing.T) {
	lines, spans := codeOf(readme(t))
	count := 0
	for _, code := range slices.Concat(lines, spans) {
		for _, args := range hapsyncCalls(code) {
			if len(args) == 0 || slices.Contains(args, "--help") {
				continue
			}
			count++
			if err := parse(args); err != nil {
				t.Errorf("%s: %v", code, err)
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d calls of hapsync were found: the README is not read right", count)
	}
}

func TestReadmeConfigFileIsTaken(t *testing.T) {
	_, block, ok := strings.Cut(readme(t), "```yaml\n")
	block, _, end := strings.Cut(block, "```")
	if !ok || !end {
		t.Fatal("the README has no config file")
	}
	path := writeFile(t, block)
	if _, err := readConfigFile(path, new(bench).program(nil, nil).app().Commands); err != nil {
		t.Error(err)
	}
}

func TestReadmeNamesTargetsOfTheMakefile(t *testing.T) {
	makefile := read(t, "../../Makefile")
	lines, spans := codeOf(readme(t))
	target := regexp.MustCompile(`\bmake ((?:[a-z0-9-]+ ?)+)`)
	count := 0
	for _, code := range slices.Concat(lines, spans) {
		for _, m := range target.FindAllStringSubmatch(code, -1) {
			for _, name := range strings.Fields(m[1]) {
				count++
				if !strings.Contains(makefile, "\n"+name+":") {
					t.Errorf("%s: the Makefile has no target %s", code, name)
				}
			}
		}
	}
	if count < 10 {
		t.Errorf("only %d targets were found: the README is not read right", count)
	}
}

func TestReadmeLinksLead(t *testing.T) {
	text := readme(t)
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		title := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		anchors["#"+strings.ReplaceAll(title, " ", "-")] = true
	}
	for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
		switch link := m[1]; {
		case strings.HasPrefix(link, "https://"):
		case strings.HasPrefix(link, "#"):
			if !anchors[link] {
				t.Errorf("no heading for %s", link)
			}
		default:
			if _, err := os.Stat(filepath.Join("../..", link)); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestReadmeHasEveryMetric(t *testing.T) {
	t.Parallel()
	told := map[string]bool{}
	for _, name := range regexp.MustCompile(`\bhapsync_[a-z_]+`).FindAllString(readme(t), -1) {
		told[name] = true
	}
	names := map[string]bool{"hapsync_pass_duration_seconds": true, "hapsync_build_info": true}
	for _, m := range measures(sync.Status{}) {
		names[m.name] = true
	}
	for name := range names {
		if !told[name] {
			t.Errorf("the README does not have %s", name)
		}
		delete(told, name)
	}
	for name := range told {
		t.Errorf("the README has %s, which there is not", name)
	}
}
