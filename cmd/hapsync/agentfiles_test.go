package main

import (
	"strings"
	"testing"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
)

func TestPrintedConfigIsTaken(t *testing.T) {
	got := new(bench).run(t, "agent", "--print-config")
	if got.code != exitOK || got.stderr != "" || got.stdout != agentConfig {
		t.Fatalf("code %d: %s", got.code, got.stderr)
	}
	all := strings.ReplaceAll(got.stdout, "\n#", "\n")
	lines := strings.Split(all, "\n")
	for i, line := range lines { // comments start with "# ", settings with "#"
		if strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "  - ") {
			lines[i] = ""
		}
	}
	file := writeFile(t, strings.Join(lines, "\n"))
	b := &bench{}
	for _, f := range new(bench).program(nil, nil).app().Command("agent").Flags {
		s, ok := f.(*cli.Setting)
		if !ok || s.Name == "config-file" {
			continue
		}
		if !strings.Contains(all, "\n"+s.Name+":") && s.Name != "reload-command" {
			t.Errorf("the example lacks %s", s.Name)
		}
		example := b.settled(t, "agent", s.Name, "agent", "--config-file", file)
		if s.Value != "" && example != s.Value && !strings.HasSuffix(s.Name, "-bin") && s.Name != "managed-file" {
			t.Errorf("%s: the example says %q, the default is %q", s.Name, example, s.Value)
		}
	}
}

func TestPrintedUnit(t *testing.T) {
	got := new(bench).run(t, "agent", "--print-unit")
	if got.code != exitOK || got.stderr != "" {
		t.Fatalf("code %d: %s", got.code, got.stderr)
	}
	wantContains(t, "unit", got.stdout, "\nType=notify\n", "\nWatchdogSec=30\n", "\nUser=hapsync\n", "\nGroup=haproxy\n",
		"\nProtectSystem=strict\n", "\nNoNewPrivileges=yes\n", "\nCapabilityBoundingSet=\n", "\nRestart=always\n")
	_, start, _ := strings.Cut(got.stdout, "\nExecStart=/usr/bin/")
	start, _, _ = strings.Cut(start, "\n")
	ran := false
	app := new(bench).program(nil, nil).app()
	agent := app.Command("agent")
	agent.Before, agent.Action = nil, func(*cli.Context) error { ran = true; return nil }
	if err := app.RunContext(t.Context(), strings.Fields(start)); err != nil || !ran {
		t.Errorf("%q: %v", start, err)
	}
}

func TestThePageShowsTheUnitsOfThePackages(t *testing.T) {
	page := read(t, "../../docs/without-the-agent.md")
	for _, name := range []string{"hapsync-sync.service", "hapsync-sync.timer"} {
		if unit := read(t, "../../packaging/systemd/"+name); !strings.Contains(page, "```ini\n"+unit+"```") {
			t.Errorf("docs/without-the-agent.md does not show packaging/systemd/%s", name)
		}
	}
}
