package main

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
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
		s, ok := f.(*setting)
		if !ok || s.name == "config-file" {
			continue
		}
		if !strings.Contains(all, "\n"+s.name+":") && s.name != "reload-command" {
			t.Errorf("the example lacks %s", s.name)
		}
		example := b.settled(t, "agent", s.name, "agent", "--config-file", file)
		if s.value != "" && example != s.value && !strings.HasSuffix(s.name, "-bin") {
			t.Errorf("%s: the example says %q, the default is %q", s.name, example, s.value)
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
