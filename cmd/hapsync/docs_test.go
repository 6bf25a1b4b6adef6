package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
)

// pages are all texts for people, by path in the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			texts[strings.TrimPrefix(filepath.ToSlash(path), "../../")] = read(t, path)
		}
	}
	if len(texts) < 15 {
		t.Fatalf("only %d pages were found", len(texts))
	}
	return texts
}

// tableRows are the rows of a page's tables whose first cell is code or a number, by that word.
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

// TestReferenceIsWhatTheProgramSays checks that docs/reference is the output of "hapsync docs"; -update (make docs) writes it.
func TestReferenceIsWhatTheProgramSays(t *testing.T) {
	dir := "../../docs/reference"
	files, err := new(bench).program(nil, nil).reference().Files()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if got := new(bench).run(t, "docs", dir); got.code != exitOK {
			t.Fatalf("code %d: %s", got.code, got.stderr)
		}
	}
	for name, want := range files {
		if diff := cmp.Diff(want, read(t, filepath.Join(dir, name))); diff != "" {
			t.Errorf("docs/reference/%s is not what the program says: run make docs\n%s", name, diff)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(files) {
		t.Errorf("docs/reference has %d files, %d are written: %v", len(entries), len(files), err)
	}
}

func TestReferenceHasEveryCommandFlagVariableAndExitCode(t *testing.T) {
	commands, settings := read(t, "../../docs/reference/cli.md"), read(t, "../../docs/reference/config.md")
	for _, cmd := range new(bench).program(nil, nil).app().Commands {
		if cmd.Hidden {
			continue
		}
		if !strings.Contains(commands, "\n## hapsync "+cmd.Name+"\n") {
			t.Errorf("cli.md has no hapsync %s", cmd.Name)
		}
		for _, f := range cmd.Flags {
			s, ok := f.(*cli.Setting)
			if !ok || s.Name == "onetime" {
				continue
			}
			if !strings.Contains(commands, "`--"+s.Name+"`") {
				t.Errorf("cli.md has no --%s", s.Name)
			}
			for _, variable := range s.Env {
				if !strings.Contains(settings, "`"+variable+"`") {
					t.Errorf("config.md has no %s", variable)
				}
			}
		}
	}
	exits := tableRows(read(t, "../../docs/reference/exit-codes.md"))
	for _, e := range exitMeanings() {
		if exits[strconv.Itoa(e.code)] == "" {
			t.Errorf("exit-codes.md has no %d", e.code)
		}
	}
}

func TestManualsAreWritten(t *testing.T) {
	dir := t.TempDir()
	if got := new(bench).run(t, "docs", "--man", dir); got.code != exitOK {
		t.Fatalf("code %d: %s", got.code, got.stderr)
	}
	wantContains(t, "hapsync.1", read(t, dir+"/hapsync.1"), ".SH COMMANDS", "hapsync-sync(1)", "HAPSYNC_MASTER_SOCKET", "EXIT STATUS")
	wantContains(t, "hapsync-sync.1", read(t, dir+"/hapsync-sync.1"), ".SH SYNOPSIS", "--max-removal", "hapsync sync --dry-run")
}

// codeOf are the lines of a page's code blocks and the spans of code in its text.
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

// commandMayFollow reports whether the next word can be a command.
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

// parse makes the program parse a command line, without running it.
func parse(args []string) error {
	app := new(bench).program(nil, nil).app()
	for _, cmd := range app.Commands {
		most := cli.MostArguments(cmd)
		cmd.Before = nil
		cmd.Action = func(c *cli.Context) error {
			if c.NArg() > most {
				return cli.Usagef(c, "stray argument %q", c.Args().Get(most))
			}
			return nil
		}
	}
	return app.Run(append([]string{"hapsync"}, args...))
}

func TestCommandLinesOfPagesAreKnown(t *testing.T) {
	count := 0
	for page, text := range pages(t) {
		lines, spans := codeOf(text)
		for _, code := range slices.Concat(lines, spans) {
			for _, args := range hapsyncCalls(code) {
				if len(args) == 0 || args[0] == "help" || slices.Contains(args, "--help") || slices.Contains(args, "[flags]") {
					continue
				}
				count++
				if err := parse(args); err != nil {
					t.Errorf("%s: %s: %v", page, code, err)
				}
			}
		}
	}
	if count < 60 {
		t.Errorf("only %d calls of hapsync were found: the pages are not read right", count)
	}
}

func TestConfigFilesOfPagesAreTaken(t *testing.T) {
	count := 0
	for page, text := range pages(t) {
		for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1) {
			if !strings.Contains(m[1], "endpoints:") {
				continue // of another program
			}
			count++
			if _, err := cli.ReadConfigFile(writeFile(t, m[1]), new(bench).program(nil, nil).app().Commands); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	if count == 0 {
		t.Error("no page has a config file")
	}
}

func TestPagesNameTargetsOfTheMakefile(t *testing.T) {
	makefile := read(t, "../../Makefile")
	target := regexp.MustCompile(`\bmake ((?:[a-z0-9-]+ ?)+)`)
	count := 0
	for page, text := range pages(t) {
		lines, spans := codeOf(text)
		for _, code := range slices.Concat(lines, spans) {
			code, _, _ = strings.Cut(code, "   ") // what it does
			for _, m := range target.FindAllStringSubmatch(code, -1) {
				for _, name := range strings.Fields(m[1]) {
					count++
					if !strings.Contains(makefile, "\n"+name+":") {
						t.Errorf("%s: %s: the Makefile has no target %s", page, code, name)
					}
				}
			}
		}
	}
	if count < 15 {
		t.Errorf("only %d targets were found: the pages are not read right", count)
	}
}

// withoutBlocks is a page without its code blocks, which have no headings or links.
func withoutBlocks(text string) string {
	return regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(text, "")
}

// anchorsOf are GitHub's anchors of a page's headings.
func anchorsOf(text string) map[string]bool {
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		title := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		anchors[strings.ReplaceAll(title, " ", "-")] = true
	}
	return anchors
}

// linksOf are the links of a page, as a path and an anchor, without links to other sites.
func linksOf(page, text string) (links [][2]string) {
	for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(withoutBlocks(text), -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		path, anchor, _ := strings.Cut(m[1], "#")
		if path == "" {
			path = page
		} else {
			path = filepath.Join(filepath.Dir(page), path)
		}
		links = append(links, [2]string{path, anchor})
	}
	return links
}

func TestLinksOfPagesLeadToAFileAndAHeading(t *testing.T) {
	t.Parallel()
	texts := pages(t)
	for page, text := range texts {
		for _, link := range linksOf(page, text) {
			if _, err := os.Stat(filepath.Join("../..", link[0])); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if link[1] != "" && !anchorsOf(withoutBlocks(texts[link[0]]))[link[1]] {
				t.Errorf("%s: %s has no heading for #%s", page, link[0], link[1])
			}
		}
	}
}

func TestPagesNameFilesThatAreThere(t *testing.T) {
	t.Parallel()
	path := regexp.MustCompile(`^(?:cmd|e2e|haproxy|registry|sync|docs|packaging|\.ci|\.github)/[\w./-]+$`)
	count := 0
	for page, text := range pages(t) {
		_, spans := codeOf(text)
		for _, name := range spans {
			if !path.MatchString(name) {
				continue
			}
			count++
			if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	if count < 10 {
		t.Errorf("only %d files are named: the pages are not read right", count)
	}
}

func TestEveryPageIsFoundFromTheReadme(t *testing.T) {
	t.Parallel()
	texts := pages(t)
	found := map[string]bool{}
	next := []string{"README.md"}
	for len(next) > 0 {
		page := next[0]
		next = next[1:]
		if found[page] {
			continue
		}
		found[page] = true
		for _, link := range linksOf(page, texts[page]) {
			next = append(next, link[0])
		}
	}
	for page := range texts {
		if strings.HasPrefix(page, "docs/") && !found[page] {
			t.Errorf("no link leads to %s", page)
		}
	}
}

func TestReadmeIsOfOnePage(t *testing.T) {
	t.Parallel()
	if n := strings.Count(read(t, "../../README.md"), "\n"); n > 200 {
		t.Errorf("README.md has %d lines, more than 200: the rest belongs into docs/", n)
	}
}

func TestPagesHaveEveryMetricAndNoOther(t *testing.T) {
	t.Parallel()
	names := metricNames(t)
	told := map[string]bool{}
	for page, text := range pages(t) {
		if strings.Contains(page, "examples/") {
			continue // variables of Ansible's look the same
		}
		for _, name := range regexp.MustCompile(`\bhapsync_[a-z_]+`).FindAllString(text, -1) {
			told[name] = true
			if !names[name] {
				t.Errorf("%s has %s, which there is not", page, name)
			}
		}
	}
	for name := range names {
		if !told[name] {
			t.Errorf("no page has %s", name)
		}
	}
}
