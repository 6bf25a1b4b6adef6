package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	got := new(bench).run(t, "version", "-o", "json")
	var b build
	if err := json.Unmarshal([]byte(got.stdout), &b); err != nil || b.Version == "" || b.Go == "" {
		t.Errorf("%v: %s", err, got.stdout)
	}
	wantContains(t, "version", new(bench).run(t, "version").stdout, "hapsync "+b.Version, "client-native")
	wantContains(t, "--version", new(bench).run(t, "--version").stdout, "hapsync version "+b.Version)
}

func TestBashCompletesWithTheProgram(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal("bash is needed to try its completion; make deps does not install it")
	}
	dir := filepath.Dir(executable(t))
	script := filepath.Join(dir, "completion.bash")
	if err := os.WriteFile(script, []byte(new(bench).run(t, "completion", "bash").stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		words string // the last one is what the cursor stands behind
		want  []string
	}{
		{"hapsync ", []string{"init", "sync", "plan", "list", "check", "version", "completion"}},
		{"hapsync sy", []string{"sync"}},
		{"hapsync sync --dr", []string{"--drain-timeout", "--dry-run"}},
		{"hapsync sync --", []string{"--dry-run", "--drain-timeout", "--endpoints"}},
		{"hapsync sync -", []string{"--dry-run"}},
		{"hapsync sync --dry-run --", []string{"--output"}},
		{"hapsync --", []string{"--endpoints"}},
		{"hapsync --man", []string{"--managed-file"}},
		{"hapsync completion ", []string{"bash", "zsh", "fish"}},
		{"hapsync completion z", []string{"zsh"}},
		{"hapsync list -o ", []string{"text\njson"}},
		{"hapsync list --output j", []string{"json"}},
		{"hapsync list --log-level ", []string{"debug", "warn"}},
		{"hapsync --routing ", []string{"acl", "map"}},
		{"hapsync sync $(touch${IFS}pwned) --dry", []string{"--dry-run"}},
	} {
		words := strings.Split(tt.words, " ")
		program := `. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hapsync; printf '%s\n' "${COMPREPLY[@]}"`
		cmd := exec.CommandContext(t.Context(), bash, append([]string{"-c", program, script}, words...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "SHELL=/bin/zsh") // whatever the login shell
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v: %s", tt.words, err, out)
		}
		wantContains(t, tt.words, string(out), tt.want...)
	}
	if _, err := os.Stat(filepath.Join(dir, "pwned")); err == nil {
		t.Error("completion runs what the words say")
	}
}

func TestShellScripts(t *testing.T) {
	for shell, want := range map[string]string{
		"zsh":  "#compdef hapsync",
		"fish": "complete -c hapsync -n '__fish_seen_subcommand_from sync' -f -l dry-run -l noop",
	} {
		got := new(bench).run(t, "completion", shell)
		if got.code != exitOK {
			t.Errorf("%s: code %d, %s", shell, got.code, got.stderr)
		}
		wantContains(t, shell, got.stdout, want)
	}
}
