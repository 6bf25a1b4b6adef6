package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestCIRunsTheCommandsOfTheREADMEAsPrinted compares the indented lines of README's first section with what .ci/run runs with
// as_printed, in order.
func TestCIRunsTheCommandsOfTheREADMEAsPrinted(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "../../README.md"), "\n## ")
	section, _, _ = strings.Cut(section, "\n## ")
	want := matches(`(?m)^    (\S.*)$`, section)
	if len(want) != 2 {
		t.Fatalf("the first section of README has the commands %q, want two", want)
	}
	if got := matches(`(?m)^as_printed (\S.*)$`, read(t, "../../.ci/run")); !slices.Equal(got, want) {
		t.Errorf(".ci/run runs as printed: %q, README prints %q", got, want)
	}
}

// TestTheWorkflowOfPublicCIRunsTheScriptAndNothingElse checks that only the script says what CI does.
func TestTheWorkflowOfPublicCIRunsTheScriptAndNothingElse(t *testing.T) {
	runs := matches(`(?m)^ +- run: (.*)$`, read(t, "../../.github/workflows/ci.yml"))
	if !slices.Equal(runs, []string{".ci/run"}) {
		t.Errorf("the workflow runs %q", runs)
	}
}

// TestMakeBuildsWithTheToolchainOfGoModOrTheOneThatIsHere runs make with a go that has the newer toolchain, and with one that
// cannot download it.
func TestMakeBuildsWithTheToolchainOfGoModOrTheOneThatIsHere(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, fetch, want string
		says              bool
	}{
		{"fetched", "exit 0", "auto", false},
		{"not to be fetched", "exit 1", "local", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			script := "#!/bin/sh\ncase $1 in version) " + test.fetch + ";; esac\necho \"$GOTOOLCHAIN\" >" + dir + "/used\n"
			if err := os.WriteFile(dir+"/go", []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("make", "-C", "../..", "build", "GO="+dir+"/go", "VERSION=test")
			cmd.Env = append(os.Environ(), "GOTOOLCHAIN=go1.1", "MAKELEVEL=0", "MAKEFLAGS=")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := strings.TrimSpace(read(t, dir+"/used")); got != test.want {
				t.Errorf("built with GOTOOLCHAIN=%s, want %s", got, test.want)
			}
			if says := strings.Count(string(out), "of go.mod cannot be fetched") == 1; says != test.says {
				t.Errorf("make printed:\n%s", out)
			}
		})
	}
}

// TestTheImageBuildsWithTheToolchainOfGoMod checks that GOTOOLCHAIN of Go's image is reset, which would keep the image's
// toolchain.
func TestTheImageBuildsWithTheToolchainOfGoMod(t *testing.T) {
	before, _, _ := strings.Cut(read(t, "../../Dockerfile"), "\nRUN go build")
	if !strings.Contains(before, "\nENV GOTOOLCHAIN=\n") || !strings.Contains(before, "go env -w GOTOOLCHAIN=auto") {
		t.Errorf("the Dockerfile begins:\n%s", before)
	}
}

// matches are the first groups of all that a pattern finds.
func matches(pattern, text string) []string {
	var found []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}
